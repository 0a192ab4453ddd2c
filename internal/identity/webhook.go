package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// The numbers of a webhook.
const (
	defaultTimeout = 2 * time.Second
	maxTimeout     = 10 * time.Second
	maxAnswer      = 64 << 10
	// breakAfter consecutive failures the endpoint is not asked for breakFor; then one question decides.
	breakAfter = 5
	breakFor   = 10 * time.Second
)

// webhook is a source that asks the application.
type webhook struct {
	noTokens
	login, lookUp *endpoint // lookUp is nil if nobody is asked
}

// endpoint is one URL with its breaker: a failing lookup stops no login. It is safe for concurrent use.
type endpoint struct {
	url     string
	timeout time.Duration
	remote  *remote
	slots   chan struct{}
	breaker *gobreaker.CircuitBreaker[User]
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
	timeout := c.Webhook.Timeout.Std()
	if timeout == 0 {
		timeout = defaultTimeout
	}
	open := func(what, url string) *endpoint {
		return &endpoint{url: url, timeout: timeout, remote: r, slots: make(chan struct{}, maxInFlight), breaker: gobreaker.NewCircuitBreaker[User](gobreaker.Settings{
			Name: what, MaxRequests: 1, Timeout: breakFor,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
			IsSuccessful: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
			IsExcluded:   func(err error) bool { return errors.Is(err, errLeft) },
			OnStateChange: func(_ string, from, to gobreaker.State) {
				s.log.Warn("identity_webhook_breaker", "source", c.Name, "endpoint", what, "from", from.String(), "to", to.String())
			},
		})}
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

func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.client.CloseIdleConnections()
	}
}

func (w *webhook) authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
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
				return User{}, unavailable("the answer is about another user_id")
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

// errLeft marks the end of a question whose asker went away: it says nothing about the endpoint.
var errLeft = errors.New("the question was given up")

// unavailable is an error for the log.
func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// answer is what came back, with nothing decided.
type answer struct {
	status int
	// bearer: the server refuses our own token (RFC 6750, section 3), not the user's password.
	bearer bool
	// meant: the body is empty or JSON. A page in HTML or text is what a proxy says about an unknown path.
	meant bool
	body  []byte
	// wrong says why the body cannot be read as JSON.
	wrong error
}

func (a answer) unexpected() error {
	switch {
	case a.bearer:
		return unavailable("the webhook refuses the token of this source: status %d", a.status)
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		return unavailable("the webhook answers %d with a page that is not JSON: the URL is probably wrong", a.status)
	}
	return unavailable("the webhook answers %d", a.status)
}

// ask sends one question, bounded in number, time and size. read turns the answer into a user.
func (e *endpoint) ask(ctx context.Context, question []byte, read func(answer) (User, error)) (User, error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		return User{}, fmt.Errorf("%w: %d questions wait for the webhook", ErrBusy, maxInFlight)
	}
	user, err := e.breaker.Execute(func() (User, error) {
		a, err := e.post(ctx, question)
		if err != nil {
			return User{}, err
		}
		return read(a)
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return User{}, unavailable("the webhook failed %d times in a row and is asked again within %s", breakAfter, breakFor)
	}
	return user, err
}

func (e *endpoint) post(ctx context.Context, question []byte) (answer, error) {
	peer, err := e.remote.use()
	if err != nil {
		return answer{}, unavailable("credentials: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(bounded, http.MethodPost, e.url, bytes.NewReader(question))
	if err != nil {
		return answer{}, unavailable("%w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "keyturn")
	if !peer.token.Empty() {
		request.Header.Set("Authorization", "Bearer "+peer.token.Reveal())
	}
	response, err := peer.client.Do(request)
	if err != nil {
		return answer{}, failed(ctx, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	a := answer{status: response.StatusCode}
	a.bearer = response.StatusCode == http.StatusUnauthorized && strings.HasPrefix(strings.ToLower(response.Header.Get("WWW-Authenticate")), "bearer")
	if a.wrong = isJSON(response); a.wrong == nil {
		a.body, a.wrong = readBody(response, maxAnswer)
	}
	if ctx.Err() != nil || bounded.Err() != nil {
		return answer{}, failed(ctx, bounded.Err())
	}
	a.meant = a.wrong == nil || response.Header.Get("Content-Type") == "" && empty(response.Body)
	return a, nil
}

func empty(body io.Reader) bool {
	n, err := io.CopyN(io.Discard, body, 1)
	return n == 0 && errors.Is(err, io.EOF)
}

// failed tells an endpoint that did not answer from an asker who did not wait.
func failed(ctx context.Context, err error) error {
	if left := ctx.Err(); left != nil {
		return fmt.Errorf("%w: %w", errLeft, left)
	}
	return unavailable("%w", err)
}

// readUser reads an answer strictly: an unknown member is probably a misspelt one.
func readUser(a answer) (User, error) {
	if a.wrong != nil {
		return User{}, unavailable("%w", a.wrong)
	}
	user, err := parseUser(a.body)
	if err != nil {
		return User{}, unavailable("the webhook's answer: %w", err)
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
