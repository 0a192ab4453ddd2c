package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"
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

// endpoint is one URL with its breaker: a failing lookup stops no login. It is safe for concurrent use.
type endpoint struct {
	url     string
	timeout time.Duration
	remote  *remote
	slots   chan struct{}
	breaker *gobreaker.CircuitBreaker[User]
}

func newEndpoint(url string, timeout time.Duration, r *remote, log *slog.Logger) *endpoint {
	return &endpoint{url: url, timeout: timeout, remote: r, slots: make(chan struct{}, maxInFlight), breaker: gobreaker.NewCircuitBreaker[User](gobreaker.Settings{
		MaxRequests: 1, Timeout: breakFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		IsSuccessful: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errLeft) || errors.Is(err, errOneUser) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			log.Warn("identity_webhook_breaker", "from", from.String(), "to", to.String())
		},
	})}
}

// errLeft marks the end of a question whose asker went away: it says nothing about the endpoint.
var errLeft = errors.New("the question was given up")

// errOneUser marks an answer about a user that cannot be taken: the endpoint answers. If it counted, a user who can
// choose a part of the answer, such as a name for display, could stop everybody's logins.
var errOneUser = errors.New("the answer")

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
	a.bearer = strings.HasPrefix(strings.ToLower(response.Header.Get("WWW-Authenticate")), "bearer")
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
