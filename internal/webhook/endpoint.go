package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"
)

// The numbers of an endpoint.
const (
	// DefaultTimeout is for a whole question; MaxTimeout is the longest that may be configured.
	DefaultTimeout = 2 * time.Second
	MaxTimeout     = 10 * time.Second
	// MaxAnswer bounds the body of an answer, in bytes.
	MaxAnswer = 64 << 10
)

// Endpoint is one URL with its guard. Use [NewEndpoint]; safe for concurrent use.
type Endpoint struct {
	url     string
	timeout time.Duration
	files   *Files
	guard   *Guard
}

// NewEndpoint asks nobody. The URL should have passed [CheckURL]; timeout is for a whole question.
func NewEndpoint(url string, timeout time.Duration, files *Files, f Failures, log *slog.Logger) *Endpoint {
	return &Endpoint{url: url, timeout: timeout, files: files, guard: NewGuard(f, log)}
}

// Close gives unused connections back.
func (e *Endpoint) Close() { e.files.Close() }

// Answer is what came back, with nothing decided.
type Answer struct {
	Status int
	Header http.Header
	// Bearer: the server refuses our own token (RFC 6750, section 3), not the user's credential.
	Bearer bool
	// Empty: there is no body. Meant: it is empty or JSON; a page in HTML or text is what a proxy says about an unknown
	// path.
	Empty, Meant bool
	Body         []byte
	// Wrong says why the body cannot be read as JSON.
	Wrong error
}

// Unexpected describes an answer that means nothing to the caller. One that finds fault with what was asked, and not with
// us, is [ErrOneUser]: strangers choose what is asked.
func (a Answer) Unexpected(f Failures) error {
	switch {
	case a.Bearer:
		return f.unavailable("%s refuses the token of this source: status %d", f.Asked, a.Status)
	case a.Status == http.StatusNotFound || a.Status == http.StatusGone:
		return f.unavailable("%s answers %d with a page that is not JSON: the URL is probably wrong", f.Asked, a.Status)
	}
	switch a.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusLocked, http.StatusTooManyRequests:
		return f.unavailable("%w of %s is %d", ErrOneUser, f.Asked, a.Status)
	}
	return f.unavailable("%s answers %d", f.Asked, a.Status)
}

// Ask sends one question, a JSON document, bounded in number, time and size. read says what the answer means; its error
// counts as [Guard.Do] says. A question whose ctx ends is [ErrLeft].
func (e *Endpoint) Ask(ctx context.Context, question []byte, read func(Answer) error) error {
	return e.guard.Do(func() error {
		a, err := e.post(ctx, question)
		if err != nil {
			return err
		}
		return read(a)
	})
}

func (e *Endpoint) post(ctx context.Context, question []byte) (Answer, error) {
	peer, err := e.files.Use()
	if err != nil {
		return Answer{}, e.guard.unavailable("credentials: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(bounded, http.MethodPost, e.url, bytes.NewReader(question))
	if err != nil {
		return Answer{}, e.guard.unavailable("%w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "keyturn")
	if !peer.Token.Empty() {
		request.Header.Set("Authorization", "Bearer "+peer.Token.Reveal())
	}
	response, err := peer.Client.Do(request)
	if err != nil {
		return Answer{}, e.failed(ctx, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	a := Answer{Status: response.StatusCode, Header: response.Header}
	a.Bearer = strings.HasPrefix(strings.ToLower(response.Header.Get("WWW-Authenticate")), "bearer")
	if a.Wrong = isJSON(response); a.Wrong == nil {
		a.Body, a.Wrong = ReadBody(response, MaxAnswer)
	}
	if ctx.Err() != nil || bounded.Err() != nil {
		return Answer{}, e.failed(ctx, bounded.Err())
	}
	a.Empty = response.Header.Get("Content-Type") == "" && empty(response.Body)
	a.Meant = a.Wrong == nil || a.Empty
	return a, nil
}

func empty(body io.Reader) bool {
	n, err := io.CopyN(io.Discard, body, 1)
	return n == 0 && errors.Is(err, io.EOF)
}

// failed tells an endpoint that did not answer from an asker who did not wait.
func (e *Endpoint) failed(ctx context.Context, err error) error {
	if left := ctx.Err(); left != nil {
		return fmt.Errorf("%w: %w", ErrLeft, left)
	}
	return e.guard.unavailable("%w", err)
}

// isJSON tells whether the answer says that it is JSON.
func isJSON(response *http.Response) error {
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the answer's Content-Type is not application/json")
	}
	return nil
}

// ReadBody reads a body of at most so many bytes.
func ReadBody(response *http.Response, most int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("the answer breaks off: %w", err)
	}
	if int64(len(raw)) > most {
		return nil, fmt.Errorf("the answer has more than %d bytes", most)
	}
	return raw, nil
}
