package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// SessionPath is where an edge asks what a legacy session is worth.
const SessionPath = "/feed/v1/sessions"

// MaxSessionCookie bounds the value of a legacy session's cookie, as browsers do (RFC 6265bis, section 5.6).
const MaxSessionCookie = 4096

// Bounds of one question: a cookie of which JSON escapes every byte, and an answer with its claims.
const (
	maxQuestion = 6*MaxSessionCookie + 256
	maxAnswer   = 64 << 10
	// maxQuestions is how many questions a server works on at once; more are told to come again.
	maxQuestions = 1024
)

// Sessions tells what legacy sessions are worth. The token service has one; an edge asks it through [Client.Ask].
type Sessions interface {
	// Ask tells what the session of this cookie is worth. A session that does not exist, or is over, is an answer; an
	// error means that nobody can tell at the moment. Where [Fresh] says so, no answer from before the call may be given.
	Ask(ctx context.Context, cookie secret.Text) (SessionAnswer, error)
}

// SessionAnswer is what a legacy session is worth. The zero value is a session that is not good.
type SessionAnswer struct {
	Valid bool `json:"valid"`
	// User is the full subject, as `sub` is in tokens; Role may be empty.
	User   string            `json:"user,omitempty"`
	Role   string            `json:"role,omitempty"`
	Claims map[string]string `json:"claims,omitempty"`
	// Expires is the session's absolute end; zero: not known.
	Expires time.Time `json:"expires,omitzero"`
}

// ErrSessionsUnavailable is returned while nobody can tell what a legacy session is worth.
var ErrSessionsUnavailable = errors.New("legacy sessions cannot be validated at the moment")

// ErrNoSessions is what a [Sessions] returns while it has no rollout: its document is older than the edge's.
var ErrNoSessions = errors.New("no legacy sessions")

// sessionQuestion is what an edge posts. The cookie is a credential: it is in no log and in no error.
type sessionQuestion struct {
	Cookie secret.Text `json:"cookie"`
	// Fresh: the session's user was revoked of late.
	Fresh bool `json:"fresh,omitempty"`
}

type freshKey struct{}

// WithFresh asks for an answer that is not from before now: the user of the session was revoked since.
func WithFresh(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshKey{}, true)
}

// Fresh tells whether a [Sessions] must not answer from a cache.
func Fresh(ctx context.Context) bool {
	fresh, _ := ctx.Value(freshKey{}).(bool)
	return fresh
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	if s.config.Sessions == nil {
		http.Error(w, ErrNoSessions.Error(), http.StatusNotFound)
		return
	}
	if s.questions.Add(1) > maxQuestions {
		s.questions.Add(-1)
		http.Error(w, "too many questions", http.StatusServiceUnavailable)
		return
	}
	defer s.questions.Add(-1)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(writeWithin))
	var in sessionQuestion
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || in.Cookie.Empty() || len(in.Cookie.Reveal()) > MaxSessionCookie {
		http.Error(w, "a question must be {cookie}", http.StatusBadRequest) // without the error: it may quote
		return
	}
	ctx := r.Context()
	if in.Fresh {
		ctx = WithFresh(ctx)
	}
	answer, err := s.config.Sessions.Ask(ctx, in.Cookie)
	switch {
	case errors.Is(err, ErrNoSessions):
		http.Error(w, ErrNoSessions.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, ErrSessionsUnavailable.Error(), http.StatusServiceUnavailable)
		return
	case !answer.Valid:
		answer = SessionAnswer{} // whose it was is nobody's business
	}
	body, err := json.Marshal(answer)
	if err != nil || len(body) > maxAnswer {
		http.Error(w, ErrSessionsUnavailable.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // the edge is gone
}

// questionBody is the one place where the cookie is written out.
func questionBody(cookie secret.Text, fresh bool) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Cookie string `json:"cookie"`
		Fresh  bool   `json:"fresh,omitempty"`
	}{cookie.Reveal(), fresh})
	return body.Bytes(), err
}
