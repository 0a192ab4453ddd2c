package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/store"
)

func (s *Service) login(w http.ResponseWriter, r *http.Request) *Problem {
	result, p := s.doLogin(w, r)
	s.metrics.logins.WithLabelValues(result).Inc()
	return p
}

// doLogin returns the result for the metrics and, unless it has answered, the problem.
func (s *Service) doLogin(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	now := s.Now()
	doc := s.Document()
	if doc == nil {
		return "not_ready", errNotReady
	}
	client, trusted := clientAddress(r, doc.TrustedProxies)
	if !trusted {
		s.strangers.note(client, now)
	}
	body, p := readBody(w, r, false, "username", "password")
	if p != nil {
		return "invalid", p
	}
	username, hasName := body["username"]
	password, hasPassword := body["password"]
	if !hasName || !hasPassword {
		return "invalid", badRequest("username and password are needed")
	}
	if result, p := s.limitLogin(w, r, doc, client, now); p != nil {
		return result, p
	}
	user, err := doc.directory.Authenticate(r.Context(), username.Reveal(), password)
	if err != nil {
		return s.loginRefused(err)
	}
	return s.loginPair(w, r, user)
}

// limitLogin counts the attempt and sets the headers of draft-ietf-httpapi-ratelimit-headers.
func (s *Service) limitLogin(w http.ResponseWriter, r *http.Request, doc *Document, client netip.Addr, now time.Time) (string, *Problem) {
	limit, window := doc.LoginLimit.Limit, doc.LoginLimit.Window.Std()
	counted, err := s.Limiter.Take(r.Context(), limitKey(client), limit, window, now)
	if err != nil {
		return "unavailable", s.storeFailed("count", err)
	}
	w.Header().Set("RateLimit-Policy", fmt.Sprintf(`"login";q=%d;w=%d`, limit, seconds(window)))
	remaining := fmt.Sprintf(`"login";r=%d`, counted.Remaining)
	if counted.Reset > 0 {
		remaining += fmt.Sprintf(";t=%d", seconds(counted.Reset))
	}
	w.Header().Set("RateLimit", remaining)
	if !counted.Allowed {
		return "rate_limited", &Problem{Status: http.StatusTooManyRequests, Code: CodeRateLimited, Title: "Too many logins from this address",
			retryAfter: max(counted.Reset, time.Second)}
	}
	return "", nil
}

func (s *Service) loginRefused(err error) (string, *Problem) {
	switch {
	case errors.Is(err, identity.ErrDenied):
		return "denied", unauthorized(CodeInvalidCredentials, "The user name or the password is wrong")
	case errors.Is(err, identity.ErrBadName), errors.Is(err, identity.ErrPasswordTooLong):
		return "invalid", badRequest(err.Error())
	case errors.Is(err, identity.ErrBusy):
		return "busy", unavailable(CodeBusy, "Too many logins at this moment")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled", unavailable(CodeBusy, "The request took too long")
	default:
		s.Log.Error("identity_unavailable", "error", err.Error())
		return "unavailable", unavailable(CodeIdentityDown, "The users cannot be looked up at this moment")
	}
}

// loginPair makes the family first, because the access token carries its session id.
func (s *Service) loginPair(w http.ResponseWriter, r *http.Request, user identity.User) (string, *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	created, err := s.Families.Create(r.Context(), store.NewFamily{
		Owner: store.Owner{Subject: user.Subject, Name: user.Name, Source: user.Source},
		Now:   m.now, Limits: m.doc.limits(), AccessExpiry: m.expires,
	})
	if err != nil {
		return "unavailable", s.storeFailed("create", err)
	}
	s.metrics.evicted.Add(float64(created.Evicted))
	access, p := s.sign(m, user, created.Family.SessionID)
	if p != nil {
		return "error", p // nobody has the family's token: it ends by itself
	}
	s.writePair(w, m, access, created.Token, created.Family)
	return "ok", nil
}
