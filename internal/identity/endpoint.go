package identity

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/keyturn/keyturn/internal/webhook"
)

// failures are what an application's endpoints fail with. A failing lookup stops no login: each endpoint has its breaker.
var failures = webhook.Failures{Unavailable: ErrUnavailable, Busy: ErrBusy, Asked: "the webhook", Event: "identity_webhook_breaker"}

func newEndpoint(url string, timeout time.Duration, files *webhook.Files, log *slog.Logger) *webhook.Endpoint {
	return webhook.NewEndpoint(url, timeout, files, failures, log)
}

// files are the credentials of a source.
func (s *Sources) files(source string, names ...string) *webhook.Files {
	return webhook.NewFiles(filepath.Join(s.dir, source), names, s.log, "identity_credentials_refused", s.now)
}

// unavailable is an error for the log.
func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// ask sends a question about a user.
func ask(ctx context.Context, e *webhook.Endpoint, question []byte, read func(webhook.Answer) (User, error)) (user User, err error) {
	err = e.Ask(ctx, question, func(a webhook.Answer) (err error) {
		user, err = read(a)
		return err
	})
	return user, err
}
