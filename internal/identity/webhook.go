package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/strictjson"
	"github.com/keyturn/keyturn/internal/webhook"
)

// application is a source that asks the application.
type application struct {
	noTokens
	login, lookUp *webhook.Endpoint // lookUp is nil if nobody is asked
}

func newWebhook(c snapshot.IdentitySource, next *opening) (*application, error) {
	if next.sources == nil {
		return nil, errors.New("a webhook needs a place for its credentials and connections")
	}
	for what, text := range map[string]string{"loginURL": c.Webhook.LoginURL, "lookupURL": c.Webhook.LookupURL} {
		if err := webhook.CheckURL(text, true); err != nil && (text != "" || what == "loginURL") {
			return nil, fmt.Errorf("webhook.%s %w", what, err)
		}
	}
	if t := c.Webhook.Timeout.Std(); t < 0 || t > webhook.MaxTimeout {
		return nil, fmt.Errorf("webhook.timeout must be at most %s", webhook.MaxTimeout)
	}
	key, err := json.Marshal(c.Webhook)
	if err != nil {
		return nil, err
	}
	return next.keep("webhook/"+c.Name+"/"+string(key), func(s *Sources) runner { return openWebhook(s, c) }).(*application), nil
}

func openWebhook(s *Sources, c snapshot.IdentitySource) *application {
	r := s.files(c.Name, webhook.TokenFile, webhook.CAFile, webhook.CertFile, webhook.KeyFile)
	timeout := cmp.Or(c.Webhook.Timeout.Std(), webhook.DefaultTimeout)
	open := func(what, url string) *webhook.Endpoint {
		if !strings.HasPrefix(url, "https:") && !webhook.IsLoopback(url) {
			s.log.Warn("identity_clear_text", "source", c.Name, "endpoint", what, "url", url)
		}
		return newEndpoint(url, timeout, r, s.log.With("source", c.Name, "endpoint", what))
	}
	w := &application{login: open("login", c.Webhook.LoginURL)}
	if c.Webhook.LookupURL != "" {
		w.lookUp = open("lookup", c.Webhook.LookupURL)
	}
	return w
}

// run has nothing to do: a webhook is asked by requests only. The connections are closed at the end.
func (w *application) run(ctx context.Context) {
	<-ctx.Done()
	w.login.Close()
}

func (w *application) authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
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
	user, err := ask(ctx, w.login, question, func(a webhook.Answer) (User, error) {
		switch {
		case a.Status == http.StatusOK:
			return readUser(a)
		case (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden) && !a.Bearer:
			return User{}, ErrDenied
		case a.Status == http.StatusNotFound && a.Meant:
			return User{}, errUnknown
		}
		return User{}, a.Unexpected(failures)
	})
	user.Refreshable, user.Remembered = err == nil, err == nil && w.lookUp == nil
	return user, err
}

func (w *application) lookup(ctx context.Context, known User) (User, error) {
	if w.lookUp == nil {
		return User{Name: known.Name, Role: known.Role, Claims: known.Claims, Refreshable: true, Remembered: true}, nil
	}
	question, err := json.Marshal(struct {
		UserID string `json:"user_id"`
	}{known.Name})
	if err != nil {
		return User{}, errors.New("the question to the webhook cannot be written")
	}
	user, err := ask(ctx, w.lookUp, question, func(a webhook.Answer) (User, error) {
		switch {
		case a.Status == http.StatusOK:
			user, err := readUser(a)
			if err == nil && user.Name != known.Name {
				return User{}, unavailable("%w is about another user_id", webhook.ErrOneUser)
			}
			return user, err
		case (a.Status == http.StatusNotFound || a.Status == http.StatusGone) && a.Meant:
			return User{}, ErrGone
		}
		return User{}, a.Unexpected(failures)
	})
	user.Refreshable = err == nil
	return user, err
}

// readUser reads an answer strictly: an unknown member is probably a misspelt one.
func readUser(a webhook.Answer) (User, error) {
	if a.Wrong != nil {
		return User{}, unavailable("%w", a.Wrong)
	}
	user, err := parseUser(a.Body)
	if err != nil {
		return User{}, unavailable("%w of the webhook: %w", webhook.ErrOneUser, err)
	}
	return user, nil
}

// parseUser reads {"user_id", "role", "claims"}; the last two may be missing. No error quotes a value.
func parseUser(body []byte) (User, error) {
	o, err := strictjson.Read(body)
	if err != nil {
		return User{}, err
	}
	for name := range o {
		if name != "user_id" && name != "role" && name != "claims" {
			return User{}, fmt.Errorf("member %.80q: only user_id, role and claims are known; put others into claims", name)
		}
	}
	var user User
	if user.Name, _ = o.Text("user_id"); !IsID(user.Name) {
		return User{}, fmt.Errorf("user_id must be a text of 1 to %d bytes of printable characters in Unicode form NFKC, without space at its ends", MaxNameBytes)
	}
	if _, given := o["role"]; given {
		role, ok := o.Text("role")
		if !ok || role != "" && !IsRole(role) {
			return User{}, errors.New("role must be a text of at most 64 letters, digits, or . _ : / @ -")
		}
		user.Role = role
	}
	if _, given := o["claims"]; !given {
		return user, nil
	}
	user.Claims, err = ReadClaims(o)
	return user, err
}

// ReadClaims reads the member claims of an answer: at most [MaxClaims] texts. No error quotes a value.
func ReadClaims(o object) (map[string]string, error) {
	given, ok := o.Object("claims")
	if !ok || len(given) > MaxClaims {
		return nil, fmt.Errorf("claims must be an object of at most %d texts", MaxClaims)
	}
	claims := map[string]string{}
	for name := range given {
		value, ok := given.Text(name)
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
