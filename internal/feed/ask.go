package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/keyturn/keyturn/internal/secret"
)

// AskWithin is how long a question may take: less than the shortest read timeout of the HTTP recipes (2 s), so that the
// proxy gets an answer from the edge and not its own idea of one.
const AskWithin = 1500 * time.Millisecond

// A token service that does not answer this many questions in a row is not asked for a while, so that a dead one costs
// the edge nothing. Then one question tries.
const (
	askBreakAfter = 5
	askBreakFor   = time.Second
)

// errAskLeft marks the end of a question whose asker went away.
var errAskLeft = errors.New("the question was given up")

// errAskRefused marks an answer that is none. The token service is alive, and what it cannot tell about one session says
// nothing about the next: if it counted, whoever can make one question fail could have nobody's session validated.
var errAskRefused = errors.New("the token service cannot tell")

func newAskBreaker() *gobreaker.CircuitBreaker[SessionAnswer] {
	return gobreaker.NewCircuitBreaker[SessionAnswer](gobreaker.Settings{
		MaxRequests: 1, Timeout: askBreakFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= askBreakAfter },
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, errAskRefused) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errAskLeft) },
	})
}

// Ask asks the token service what the session of a cookie is worth, over the connection of the feed. Every error is an
// [ErrSessionsUnavailable]; there is one at once while the feed is not connected.
func (c *Client) Ask(ctx context.Context, cookie secret.Text) (SessionAnswer, error) {
	s := c.current.Load()
	if s == nil {
		return SessionAnswer{}, fmt.Errorf("%w: the feed is not connected", ErrSessionsUnavailable)
	}
	answer, err := c.breaker.Execute(func() (SessionAnswer, error) {
		inner, cancel := context.WithTimeout(ctx, AskWithin)
		defer cancel()
		answer, err := s.ask(inner, cookie)
		if err != nil && ctx.Err() != nil {
			return answer, errAskLeft
		}
		return answer, err
	})
	if err != nil {
		return SessionAnswer{}, fmt.Errorf("%w: %w", ErrSessionsUnavailable, err)
	}
	return answer, nil
}

func (s *session) ask(ctx context.Context, cookie secret.Text) (SessionAnswer, error) {
	body, err := questionBody(cookie, Fresh(ctx))
	if err != nil {
		return SessionAnswer{}, err
	}
	request, err := s.request(ctx, http.MethodPost, SessionPath, body)
	if err != nil {
		return SessionAnswer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return SessionAnswer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode != http.StatusOK {
		return SessionAnswer{}, fmt.Errorf("%w: it answered %s", errAskRefused, response.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return SessionAnswer{}, err
	}
	var answer struct {
		SessionAnswer
		Valid *bool `json:"valid"` // must be said
	}
	if len(raw) > maxAnswer || json.Unmarshal(raw, &answer) != nil || answer.Valid == nil {
		return SessionAnswer{}, fmt.Errorf("%w: the answer is not one", errAskRefused)
	}
	if !*answer.Valid {
		return SessionAnswer{}, nil
	}
	answer.SessionAnswer.Valid = true
	return answer.SessionAnswer, nil
}
