package tokenhttp

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

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
	// Damaged or doubled cookies do not stand in the way: a login replaces them.
	carried, damaged := readCookies(r, doc)
	if p := doc.checkSource(r, carried.any() || damaged != nil); p != nil {
		return "cross_site", p
	}
	body, p := readBody(w, r, false, "username", "password", "delivery")
	if p != nil {
		return "invalid", p
	}
	username, hasName := body["username"]
	password, hasPassword := body["password"]
	if !hasName || !hasPassword {
		return "invalid", badRequest("username and password are needed")
	}
	asked, given := body["delivery"]
	byCookie, p := doc.delivery(asked.Reveal(), given)
	if p != nil {
		return "invalid", p
	}
	if result, p := s.limitLogin(w, r, doc, client, now); p != nil {
		return result, p
	}
	try, result, p := s.limitAccount(w, r, doc, username.Reveal(), client, now)
	if p != nil {
		s.auditDenied(result, username.Reveal(), client, now)
		return result, p
	}
	user, err := doc.directory.Authenticate(r.Context(), username.Reveal(), password)
	s.settle(r.Context(), try, err)
	if err != nil {
		result, p := s.loginRefused(err)
		s.auditDenied(result, username.Reveal(), client, now)
		return result, p
	}
	result, p = s.issueLogin(w, r, doc, user, client, byCookie)
	// An address that many share, the proxy's own or one that it hides, says nothing about the account.
	if own := trusted && !within(client, doc.TrustedProxies); own && (result == "ok" || result == "session") {
		s.acquaint(r.Context(), try, now)
	}
	return result, p
}

func (s *Service) loginRefused(err error) (string, *Problem) {
	switch {
	case errors.Is(err, identity.ErrBusy): // first: it may be a denial too, which must not be told apart
		return "busy", unavailable(CodeBusy, "Too many logins at this moment")
	case errors.Is(err, identity.ErrDenied):
		return "denied", unauthorized(CodeInvalidCredentials, "The user name or the password is wrong")
	case errors.Is(err, identity.ErrBadName), errors.Is(err, identity.ErrPasswordTooLong):
		return "invalid", badRequest(err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled", unavailable(CodeBusy, "The request took too long")
	default:
		s.Log.Error("identity_unavailable", "error", err.Error())
		return "unavailable", unavailable(CodeIdentityDown, "The users cannot be looked up at this moment")
	}
}

// loginAs is how a pair is given: in cookies or not, with a legacy session beside it or not.
type loginAs struct{ byCookie, session bool }

// loginPair makes the family first, because the access token carries its session id.
func (s *Service) loginPair(w http.ResponseWriter, r *http.Request, user identity.User, client netip.Addr, as loginAs) (string, *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	m.byCookie = as.byCookie
	if p := s.measure(m, user); p != nil {
		return "error", p
	}
	created, err := s.Families.Create(r.Context(), store.NewFamily{
		Owner: m.owner(user),
		Now:   m.now, Limits: m.doc.limits(), AccessExpiry: m.expires,
	})
	if err != nil {
		return "unavailable", s.storeFailed("create", err)
	}
	s.metrics.evicted.Add(float64(created.Evicted))
	access, p := s.sign(m, user, created.Family.SessionID)
	if p != nil {
		s.abandon(r, m, created)
		return "error", p
	}
	s.Log.Info("login", "result", "ok", "user", user.Subject, "sid", created.Family.SessionID, "client", client.String(), "cookies", as.byCookie)
	if as.session {
		s.issueBeside(w, r, m.doc, user)
	} else {
		s.dropStranger(w, r, m.doc, user.Subject)
	}
	s.writePair(w, m, access, created.Token, created.Family)
	return "ok", nil
}
