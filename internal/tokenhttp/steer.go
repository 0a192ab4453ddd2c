package tokenhttp

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

// issueLogin gives an authenticated user what the rollout says. Where nobody makes sessions for the user, that is a pair.
func (s *Service) issueLogin(w http.ResponseWriter, r *http.Request, doc *Document, user identity.User, client netip.Addr, byCookie bool) (result string, p *Problem) {
	started := s.Now()
	issue := doc.steer.Rules().Login(started, user.Subject)
	done := false
	if issue.Session && !issue.Pair {
		done, result, p = s.loginSession(w, r, doc, user, client)
	}
	if !done {
		result, p = s.loginPair(w, r, user, client, loginAs{byCookie: byCookie, session: issue.Pair && issue.Session})
	}
	s.countLogin(user.Subject, p != nil && p.Status >= http.StatusInternalServerError, started)
	return result, p
}

// loginSession gives a legacy session. done is false where nobody makes any for this user. Where it cannot be had at the
// moment, there is nothing else: who is not in the cohort gets no tokens because of a fault.
func (s *Service) loginSession(w http.ResponseWriter, r *http.Request, doc *Document, user identity.User, client netip.Addr) (done bool, result string, p *Problem) {
	issued, err := doc.issueSession(r.Context(), user)
	s.legacyDone("issue", err)
	switch {
	case errors.Is(err, legacy.ErrNoIssuer):
		return false, "", nil
	case err != nil:
		return true, "unavailable", errLegacy
	}
	if doc.cookies() {
		clearCookies(w) // of a login before
	}
	passOn(w, issued.Cookies)
	s.Log.Info("login", "result", "session", "user", user.Subject, "client", client.String())
	writeSession(w, s.Now(), issued.Session)
	return true, "session", nil
}

// issueSession has a session made. Only claims that tokens may carry leave.
func (d *Document) issueSession(ctx context.Context, user identity.User) (legacy.Issued, error) {
	if d.Legacy.Issuer == nil {
		return legacy.Issued{}, legacy.ErrNoIssuer
	}
	return d.legacy.Issue(ctx, legacy.User{Subject: user.Subject, Name: user.Name, Role: user.Role, Claims: known(d.Access.Claims, user.Claims)})
}

// issueBeside gives a member of the cohort a session beside the pair, so that a rollback finds one. The pair is good
// without it.
func (s *Service) issueBeside(w http.ResponseWriter, r *http.Request, doc *Document, user identity.User) {
	issued, err := doc.issueSession(r.Context(), user)
	s.legacyDone("issue", err)
	if err == nil {
		passOn(w, issued.Cookies)
	}
}

// dropStranger takes a session's cookie away that stands in the way of a login's tokens, because it is another user's.
func (s *Service) dropStranger(w http.ResponseWriter, r *http.Request, doc *Document, user string) {
	cookie, err := doc.steer.Session(r.Header["Cookie"])
	if err != nil || cookie.Empty() || !doc.steer.Rules().EndsSession(s.Now()) {
		return
	}
	if shown := s.lookAt(r.Context(), doc, cookie); shown.live() && shown.User != user || errors.Is(shown.err, legacy.ErrInvalid) {
		clearSession(w, doc)
	}
}

// besideRefresh looks at the session beside a refresh token. One that cannot be looked at does not count: the token is
// good without it.
func (s *Service) besideRefresh(r *http.Request, m mint, cookie secret.Text) shownSession {
	if cookie.Empty() || !m.doc.steer.Rules().EndsSession(m.now) {
		return shownSession{}
	}
	return s.lookAt(r.Context(), m.doc, cookie)
}

// goBack leads a browser from its tokens back to its session, if it can: the session is extended, and the refresh token
// is spent for a successor that nobody gets. The family ends with the last access token that was issued in it: those under
// way in other tabs stay good. Whose answer is lost shows the same token again inside the retry window, and gets the same
// answer; should the session be gone by then, it gets the successor. done is false where nothing has happened and
// the token must be rotated as usual.
func (s *Service) goBack(w http.ResponseWriter, r *http.Request, m mint, presented store.Token, beside shownSession) (done bool, result string, p *Problem) {
	issued, ok := s.extended(r.Context(), m, beside)
	if !ok {
		return false, "", nil
	}
	limits := m.doc.limits()
	limits.Idle = min(limits.Idle, limits.Retention.AccessTTL+limits.RetryWindow+limits.Retention.Slack)
	spent, err := s.Families.Rotate(r.Context(), store.RotateRequest{Token: presented, Now: m.now, Limits: limits})
	if err != nil {
		return true, "unavailable", s.storeFailed("rotate", err)
	}
	if spent.Outcome != store.Rotated && spent.Outcome != store.Retried {
		result, p = s.rotationRefused(r, m, presented, spent)
		return true, result, p
	}
	s.Log.Info("session_restored", "user", beside.User, "sid", spent.Family.SessionID, "session", beside.hash()[:12])
	clearCookies(w)
	passOn(w, issued.Cookies)
	s.counter.Given(m.doc.steer, m.now, beside.User)
	writeSession(w, m.now, issued.Session)
	return true, "session", nil
}

// extended makes a session last. Without an issuer it is taken as it is, if it lasts as long as the access token would.
func (s *Service) extended(ctx context.Context, m mint, beside shownSession) (legacy.Issued, bool) {
	if m.doc.Legacy.Issuer == nil {
		return legacy.Issued{Session: beside.Session}, beside.Expires.IsZero() || !beside.Expires.Before(m.expires)
	}
	issued, err := m.doc.legacy.Extend(ctx, beside.cookie)
	s.legacyDone("extend", err)
	return issued, err == nil && issued.Session.User == beside.User
}

// countLogin counts a login of an authenticated user: before that, nobody knows whose event it is. Failed are those that
// the service owed: a wrong password is nobody's failure. started is when the password had been checked, which takes as long
// on both sides.
func (s *Service) countLogin(user string, failed bool, started time.Time) {
	if doc := s.Document(); doc != nil {
		now := s.Now()
		s.counter.Login(doc.steer, now, user, failed, now.Sub(started), doc.forcedWithin())
	}
}

// forcedWithin is the time within which a login after another credential is taken for a forced one: whose refresh fails
// comes back when the access token ends. It is hardly longer than that lives: there is one refresh in it. With several
// replicas that one is seen by one of them, as an edge's questions about a session are. With two in it, users with tokens
// would be known to more replicas than those with sessions, and more of their logins would seem forced.
func (d *Document) forcedWithin() time.Duration {
	ttl := d.Access.TTL.Std()
	return ttl + max(ttl/3, time.Minute)
}

// countRefresh counts a trade of a refresh token; owner is empty where nobody knows whose it is. Failed are errors of ours,
// and the one refusal that forces a login upon somebody who did nothing for it: a refresh token whose answer was lost and
// that came back too late. Other refusals are not counted at all, because strangers could cause them at will: tokens that
// nobody knows, replayed or damaged ones, sessions that have ended or expired. Nor is what leads back to a session, which is
// no refresh.
func (s *Service) countRefresh(m mint, owner, result string, p *Problem) {
	switch {
	case m.doc == nil || result == "session":
	case result == resultLate:
		s.counter.Late(m.doc.steer, m.now, owner)
	case p == nil || owed(p):
		s.counter.Refresh(m.doc.steer, m.now, owner, p != nil)
	}
}

// countExchange counts a trade of a session that is known to be good, likewise: before, nobody knows whose it is, and those
// who are not in the cohort keep theirs.
func (s *Service) countExchange(m mint, user, result string, p *Problem) {
	if result != "session" && (p == nil || owed(p)) {
		s.counter.Exchange(m.doc.steer, m.now, user, p != nil)
	}
}

// owed are errors of ours: not a crowd that has to wait, for which nothing is out of order, and not a session that nobody
// can look at, which the edges count on both sides.
func owed(p *Problem) bool {
	return p.Status >= http.StatusInternalServerError && p.Code != CodeBusy && p.Code != CodeLegacyUnavailable
}
