package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// webhook is a source that asks the application.
type webhook struct {
	noTokens
	login, lookUp *endpoint // lookUp is nil if nobody is asked
}

func newWebhook(c snapshot.IdentitySource, next *opening) (*webhook, error) {
	if next.sources == nil {
		return nil, errors.New("a webhook needs a place for its credentials and connections")
	}
	for what, text := range map[string]string{"loginURL": c.Webhook.LoginURL, "lookupURL": c.Webhook.LookupURL} {
		if err := checkURL(text, true); err != nil && (text != "" || what == "loginURL") {
			return nil, fmt.Errorf("webhook.%s %w", what, err)
		}
	}
	if t := c.Webhook.Timeout.Std(); t < 0 || t > maxTimeout {
		return nil, fmt.Errorf("webhook.timeout must be at most %s", maxTimeout)
	}
	key, err := json.Marshal(c.Webhook)
	if err != nil {
		return nil, err
	}
	return next.keep("webhook/"+c.Name+"/"+string(key), func(s *Sources) runner { return openWebhook(s, c) }).(*webhook), nil
}

func openWebhook(s *Sources, c snapshot.IdentitySource) *webhook {
	r := &remote{dir: filepath.Join(s.dir, c.Name), names: []string{tokenFile, caFile, certFile, keyFile}, log: s.log, now: s.now}
	timeout := cmp.Or(c.Webhook.Timeout.Std(), defaultTimeout)
	open := func(what, url string) *endpoint {
		if !strings.HasPrefix(url, "https:") && !isLoopback(url) {
			s.log.Warn("identity_clear_text", "source", c.Name, "endpoint", what, "url", url)
		}
		return newEndpoint(url, timeout, r, s.log.With("source", c.Name, "endpoint", what))
	}
	w := &webhook{login: open("login", c.Webhook.LoginURL)}
	if c.Webhook.LookupURL != "" {
		w.lookUp = open("lookup", c.Webhook.LookupURL)
	}
	return w
}

// run has nothing to do: a webhook is asked by requests only. The connections are closed at the end.
func (w *webhook) run(ctx context.Context) {
	<-ctx.Done()
	w.login.remote.close()
}

func (w *webhook) authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
	if !utf8.ValidString(password.Reveal()) {
		return User{}, ErrDenied // JSON would make another password of it
	}
	question, err := json.Marshal(struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{name, password.Reveal()})
	if err != nil {
		return User{}, errors.New("the question to the webhook cannot be written")
	}
	user, err := w.login.ask(ctx, question, func(a answer) (User, error) {
		switch {
		case a.status == http.StatusOK:
			return readUser(a)
		case (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden) && !a.bearer:
			return User{}, ErrDenied
		case a.status == http.StatusNotFound && a.meant:
			return User{}, errUnknown
		}
		return User{}, a.unexpected()
	})
	user.Refreshable, user.Remembered = err == nil, err == nil && w.lookUp == nil
	return user, err
}

func (w *webhook) lookup(ctx context.Context, known User) (User, error) {
	if w.lookUp == nil {
		return User{Name: known.Name, Role: known.Role, Claims: known.Claims, Refreshable: true, Remembered: true}, nil
	}
	question, err := json.Marshal(struct {
		UserID string `json:"user_id"`
	}{known.Name})
	if err != nil {
		return User{}, errors.New("the question to the webhook cannot be written")
	}
	user, err := w.lookUp.ask(ctx, question, func(a answer) (User, error) {
		switch {
		case a.status == http.StatusOK:
			user, err := readUser(a)
			if err == nil && user.Name != known.Name {
				return User{}, unavailable("%w is about another user_id", errOneUser)
			}
			return user, err
		case (a.status == http.StatusNotFound || a.status == http.StatusGone) && a.meant:
			return User{}, ErrGone
		}
		return User{}, a.unexpected()
	})
	user.Refreshable = err == nil
	return user, err
}

// readUser reads an answer strictly: an unknown member is probably a misspelt one.
func readUser(a answer) (User, error) {
	if a.wrong != nil {
		return User{}, unavailable("%w", a.wrong)
	}
	user, err := parseUser(a.body)
	if err != nil {
		return User{}, unavailable("%w of the webhook: %w", errOneUser, err)
	}
	return user, nil
}

// parseUser reads {"user_id", "role", "claims"}; the last two may be missing. No error quotes a value.
func parseUser(body []byte) (User, error) {
	o, err := readObject(body)
	if err != nil {
		return User{}, err
	}
	for name := range o {
		if name != "user_id" && name != "role" && name != "claims" {
			return User{}, fmt.Errorf("member %.80q: only user_id, role and claims are known; put others into claims", name)
		}
	}
	var user User
	if user.Name, _ = o.text("user_id"); !isID(user.Name) {
		return User{}, fmt.Errorf("user_id must be a text of 1 to %d bytes of printable characters in Unicode form NFKC, without space at its ends", MaxNameBytes)
	}
	if _, given := o["role"]; given {
		role, ok := o.text("role")
		if !ok || role != "" && !saidRole.MatchString(role) {
			return User{}, errors.New("role must be a text of at most 64 letters, digits, or . _ : / @ -")
		}
		user.Role = role
	}
	if _, given := o["claims"]; !given {
		return user, nil
	}
	user.Claims, err = parseClaims(o)
	return user, err
}

func parseClaims(o object) (map[string]string, error) {
	given, ok := o.object("claims")
	if !ok || len(given) > MaxClaims {
		return nil, fmt.Errorf("claims must be an object of at most %d texts", MaxClaims)
	}
	claims := map[string]string{}
	for name := range given {
		value, ok := given.text(name)
		if !ok {
			return nil, fmt.Errorf("claim %.80q must be a text", name)
		}
		if err := checkClaim(name, value); err != nil {
			return nil, err
		}
		claims[name] = value
	}
	return claims, nil
}
