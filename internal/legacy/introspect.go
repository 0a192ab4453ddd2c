package legacy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/strictjson"
	"github.com/keyturn/keyturn/internal/webhook"
)

// openEndpoint opens an endpoint of the application, and says how long a question may take.
func openEndpoint(k *Keeper, part string, c snapshot.LegacyWebhook) (*webhook.Endpoint, time.Duration, error) {
	if err := webhook.CheckURL(c.URL, true); err != nil {
		return nil, 0, fmt.Errorf("url %w", err)
	}
	timeout := c.Timeout.Std()
	if timeout < 0 || timeout > webhook.MaxTimeout {
		return nil, 0, fmt.Errorf("timeout must be at most %s", webhook.MaxTimeout)
	}
	timeout = cmp.Or(timeout, webhook.DefaultTimeout)
	if c.URL[:min(len(c.URL), 6)] != "https:" && !webhook.IsLoopback(c.URL) {
		k.log.Warn("legacy_clear_text", "part", part, "url", c.URL)
	}
	log := k.log.With("part", part)
	return webhook.NewEndpoint(c.URL, timeout, k.files(part, webhook.TokenFile), failures("the legacy "+part), log), timeout, nil
}

// introspection asks the application whose a session is.
type introspection struct{ endpoint *webhook.Endpoint }

func openIntrospection(o *opening, c snapshot.LegacyWebhook) (*introspection, time.Duration, error) {
	endpoint, timeout, err := openEndpoint(o.Keeper, validatorDir, c)
	return &introspection{endpoint}, timeout, err
}

func (i *introspection) close() { i.endpoint.Close() }

func (i *introspection) read(ctx context.Context, cookie secret.Text) (s Session, err error) {
	asked, err := json.Marshal(struct {
		Session string `json:"session"`
	}{cookie.Reveal()})
	if err != nil {
		return Session{}, errors.New("the question cannot be written")
	}
	err = i.endpoint.Ask(ctx, asked, func(a webhook.Answer) (err error) {
		if a.Status != http.StatusOK {
			return a.Unexpected(failures("the legacy validator"))
		}
		if a.Wrong != nil {
			return unavailable("%w", a.Wrong)
		}
		s, err = parseSession(a.Body)
		if err != nil && !errors.Is(err, ErrInvalid) {
			return unavailable("%w of the legacy validator: %w", webhook.ErrOneUser, err)
		}
		return err
	})
	return s, err
}

var sessionMembers = []string{"active", "user_id", "role", "claims", "expires"}

// parseSession reads {"active", "user_id", "role", "claims", "expires"}; the last three may be missing. An unknown member is
// probably a misspelt one. No error quotes a value.
func parseSession(body []byte) (Session, error) {
	o, err := strictjson.Read(body)
	if err != nil {
		return Session{}, err
	}
	for name := range o {
		if !slices.Contains(sessionMembers, name) {
			return Session{}, fmt.Errorf("member %.80q: only active, user_id, role, claims and expires are known; put others into claims", name)
		}
	}
	switch string(o["active"]) {
	case "true":
	case "false":
		return Session{}, fmt.Errorf("%w: the application says so", ErrInvalid)
	default:
		return Session{}, errors.New("active must be true or false")
	}
	var s Session
	if s.User, _ = o.Text("user_id"); !identity.IsID(s.User) {
		return Session{}, fmt.Errorf("user_id must be a text of 1 to %d bytes of printable characters in Unicode form NFKC, without space at its ends", identity.MaxNameBytes)
	}
	if _, given := o["role"]; given {
		role, ok := o.Text("role")
		if !ok || role != "" && !identity.IsRole(role) {
			return Session{}, errors.New("role must be a text of at most 64 letters, digits, or . _ : / @ -")
		}
		s.Role = role
	}
	if s.Expires, err = readExpires(o); err != nil {
		return Session{}, err
	}
	if _, given := o["claims"]; given {
		s.Claims, err = identity.ReadClaims(o)
	}
	return s, err
}

// readExpires reads the member expires: seconds since 1970, as `exp` of RFC 7662.
func readExpires(o strictjson.Object) (time.Time, error) {
	if _, given := o["expires"]; !given {
		return time.Time{}, nil
	}
	seconds, ok := o.Seconds("expires")
	if !ok || seconds == 0 {
		return time.Time{}, errors.New("expires must be a whole number of seconds since 1970")
	}
	return time.Unix(seconds, 0).UTC(), nil
}
