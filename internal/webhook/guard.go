package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"
)

// The numbers of a guard.
const (
	// MaxInFlight bounds the questions to one server at a time.
	MaxInFlight = 64
	// BreakAfter consecutive failures the server is not asked for BreakFor; then one question decides.
	BreakAfter = 5
	BreakFor   = 10 * time.Second
)

var (
	// ErrLeft marks the end of a question whose asker went away: it says nothing about the server.
	ErrLeft = errors.New("the question was given up")
	// ErrOneUser marks an answer about a user that cannot be taken: the server answers. If it counted, a user who can
	// choose a part of the answer, such as a name for display, could stop the questions of everybody.
	ErrOneUser = errors.New("the answer")
)

// Failures are the errors of the one who asks.
type Failures struct {
	// Unavailable is what counts for the breaker, and what it says while it is open.
	Unavailable error
	// Busy is for one question too many; nil means Unavailable.
	Busy error
	// Asked names the server in errors, e.g. "the webhook"; Event is the line of the log about the breaker.
	Asked, Event string
}

// Guard bounds the questions to one server, and has a breaker. Use [NewGuard]; safe for concurrent use.
type Guard struct {
	Failures
	slots   chan struct{}
	breaker *gobreaker.CircuitBreaker[struct{}]
}

// NewGuard returns a guard with a closed breaker.
func NewGuard(f Failures, log *slog.Logger) *Guard {
	if f.Busy == nil {
		f.Busy = f.Unavailable
	}
	return &Guard{Failures: f, slots: make(chan struct{}, MaxInFlight), breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Timeout: BreakFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= BreakAfter },
		IsSuccessful: func(err error) bool { return !errors.Is(err, f.Unavailable) },
		IsExcluded:   func(err error) bool { return errors.Is(err, ErrLeft) || errors.Is(err, ErrOneUser) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			log.Warn(f.Event, "from", from.String(), "to", to.String())
		},
	})}
}

// Do asks, unless too many ask already or the server failed too often. An error that is Unavailable counts as a failure,
// one that is [ErrLeft] or [ErrOneUser] not at all, everything else as an answer.
func (g *Guard) Do(ask func() error) error {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return fmt.Errorf("%w: %d questions wait for %s", g.Busy, MaxInFlight, g.Asked)
	}
	_, err := g.breaker.Execute(func() (struct{}, error) { return struct{}{}, ask() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return g.unavailable("%s failed %d times in a row and is asked again within %s", g.Asked, BreakAfter, BreakFor)
	}
	return err
}

func (f Failures) unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", f.Unavailable, fmt.Errorf(format, args...))
}
