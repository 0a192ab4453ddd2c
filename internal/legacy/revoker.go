package legacy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

func openRevoker(o *opening, config snapshot.LegacyRevoker) (revoker, error) {
	if (config.HTTP == nil) == (config.Redis == nil) {
		return nil, errUnion
	}
	return keep(o, revokerDir, config, func() (revoker, error) {
		if config.Redis != nil {
			return openRedisRevoker(o, *config.Redis)
		}
		endpoint, _, err := openEndpoint(o.Keeper, revokerDir, *config.HTTP)
		return &hook{endpoint}, err
	})
}

// hook asks the application to end sessions.
type hook struct{ endpoint *webhook.Endpoint }

func (h *hook) close() { h.endpoint.Close() }

func (h *hook) revoke(ctx context.Context, cookie secret.Text) error {
	return h.ask(ctx, map[string]string{"session": cookie.Reveal()})
}

func (h *hook) revokeUser(ctx context.Context, user string) error {
	return h.ask(ctx, map[string]string{"user_id": user})
}

// ask takes what is not there for ended: 404 and 410, unless a page says so, which is what a proxy does.
func (h *hook) ask(ctx context.Context, question map[string]string) error {
	asked, err := json.Marshal(question)
	if err != nil {
		return errors.New("the question cannot be written")
	}
	return h.endpoint.Ask(ctx, asked, func(a webhook.Answer) error {
		switch {
		case a.Status == http.StatusOK || a.Status == http.StatusNoContent:
			return nil
		case (a.Status == http.StatusNotFound || a.Status == http.StatusGone) && a.Meant:
			return nil
		}
		return a.Unexpected(failures("the legacy revoker"))
	})
}
