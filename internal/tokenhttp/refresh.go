package tokenhttp

import (
	"errors"
	"net/http"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

func (s *Service) refresh(w http.ResponseWriter, r *http.Request) *Problem {
	result, p := s.doRefresh(w, r)
	s.metrics.refreshes.WithLabelValues(result).Inc()
	return p
}

func (s *Service) doRefresh(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	body, p := readBody(w, r, false, "refresh_token")
	if p != nil {
		return "invalid", p
	}
	text, given := body["refresh_token"]
	if !given {
		return "invalid", badRequest("refresh_token is needed")
	}
	return s.renew(w, r, text, "")
}

// renew trades a refresh token for client, empty for none. One that was issued to a client is good for no other.
func (s *Service) renew(w http.ResponseWriter, r *http.Request, text secret.Text, client string) (string, *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	presented, err := store.ParseToken(text)
	if err != nil {
		return refreshRefused(store.Unknown)
	}
	seen, err := s.Families.Inspect(r.Context(), presented, m.now, m.doc.Refresh.RetryWindow.Std())
	if err != nil {
		return "unavailable", s.storeFailed("inspect", err)
	}
	if bound := seen.Family.Client; bound != "" && bound != client {
		return refreshRefused(store.Unknown) // without effect: who cannot prove to be that client ends no session of it
	}
	m.client = seen.Family.Client
	switch seen.Outcome {
	case store.Rotated, store.Retried:
		return s.rotate(w, r, m, presented, seen.Family)
	case store.Reused:
		return s.reuse(r, m, presented)
	default:
		return refreshRefused(seen.Outcome)
	}
}

// rotate asks who the user is today, signs, and then rotates: the store's answer decides whether the token leaves.
func (s *Service) rotate(w http.ResponseWriter, r *http.Request, m mint, presented store.Token, family store.Family) (string, *Problem) {
	user, err := m.doc.directory.Lookup(r.Context(), family.Source, family.Name)
	if err == nil && user.Subject != family.Subject {
		err = identity.ErrGone // the source's prefix changed: whoever has that name now is somebody else
	}
	switch {
	case errors.Is(err, identity.ErrGone):
		if _, err := s.Sessions.RevokeSession(r.Context(), store.Revoke{SessionID: family.SessionID, Now: m.now, Retention: m.doc.retention()}); err != nil {
			return "unavailable", s.storeFailed("revoke", err)
		}
		return refreshRefused(store.Revoked)
	case err != nil:
		s.Log.Error("identity_unavailable", "error", err.Error())
		return "unavailable", unavailable(CodeIdentityDown, "The users cannot be looked up at this moment")
	}
	access, p := s.sign(m, user, family.SessionID)
	if p != nil {
		return "error", p
	}
	done, err := s.Families.Rotate(r.Context(), store.RotateRequest{Token: presented, Now: m.now, Limits: m.doc.limits(), AccessExpiry: m.expires})
	if err != nil {
		return "unavailable", s.storeFailed("rotate", err)
	}
	if done.Outcome != store.Rotated && done.Outcome != store.Retried {
		return refreshRefused(done.Outcome)
	}
	s.writePair(w, m, access, done.Successor, done.Family)
	return string(done.Outcome), nil
}

// reuse lets the store judge again, with effect: the family ends.
func (s *Service) reuse(r *http.Request, m mint, presented store.Token) (string, *Problem) {
	done, err := s.Families.Rotate(r.Context(), store.RotateRequest{Token: presented, Now: m.now, Limits: m.doc.limits()})
	if err != nil {
		return "unavailable", s.storeFailed("rotate", err)
	}
	if done.Outcome == store.Reused {
		s.Log.Warn("refresh_token_reused", "sid", done.Family.SessionID)
	}
	return refreshRefused(done.Outcome)
}

// refreshRefused is the answer for every outcome that gives no token.
func refreshRefused(outcome store.Outcome) (string, *Problem) {
	switch outcome {
	case store.Expired:
		return "expired", unauthorized(CodeRefreshExpired, "The refresh token has expired: log in again")
	case store.Reused:
		return "reused", unauthorized(CodeRefreshReused, "The refresh token was used before: the session is ended, log in again")
	case store.Revoked:
		return "revoked", unauthorized(CodeSessionRevoked, "The session was ended: log in again")
	default:
		return "unknown", unauthorized(CodeRefreshInvalid, "The refresh token is not known: log in again")
	}
}
