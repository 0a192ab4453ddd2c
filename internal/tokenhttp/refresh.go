package tokenhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

func (s *Service) refresh(w http.ResponseWriter, r *http.Request) *Problem {
	result, byCookie, p := s.doRefresh(w, r)
	s.metrics.refreshes.WithLabelValues(result).Inc()
	if byCookie && p != nil && p.Status == http.StatusUnauthorized {
		clearCookies(w)
	}
	return p
}

// doRefresh also tells whether the token came in a cookie: the answer goes the way that the token came.
func (s *Service) doRefresh(w http.ResponseWriter, r *http.Request) (result string, byCookie bool, p *Problem) {
	doc := s.Document()
	if doc == nil {
		return "not_ready", false, errNotReady
	}
	carried, p := readCookies(r, doc)
	if p != nil {
		return "invalid", false, p
	}
	byCookie = !carried.refresh.Empty()
	if byCookie {
		if p := doc.checkSource(r, true); p != nil {
			return "cross_site", true, p
		}
		if p := checkNoForm(r.Header); p != nil {
			return "invalid", true, p
		}
	}
	session, damaged := doc.steer.Session(r.Header["Cookie"])
	body, p := readBody(w, r, byCookie || doc.cookies() || !session.Empty() || damaged != nil, "refresh_token", "delivery")
	if p != nil {
		return "invalid", byCookie, p
	}
	text, given := body["refresh_token"]
	switch {
	case byCookie && given:
		return "invalid", true, badRequest("show the refresh token in the body or in the cookie, not in both")
	case byCookie:
		text = carried.refresh
	case !given && (!session.Empty() || damaged != nil):
		result, p = s.refreshSession(w, r, body)
		return result, false, p
	case !given && doc.cookies():
		// So that a page knows to go to the login.
		return "absent", false, unauthorized(CodeNoCredential, "The request has no refresh token, neither in a cookie nor in the body")
	case !given:
		return "invalid", false, badRequest("refresh_token is needed")
	}
	if p := sameWay(body, byCookie); p != nil {
		return "invalid", byCookie, p
	}
	// A damaged or doubled session does not stand in the way of a good token.
	result, p = s.trade(w, r, shownRefresh{text: text, byCookie: byCookie, session: session})
	return result, byCookie, p
}

// sameWay refuses to give tokens another way than the one that was shown came: no script can have a cookie's in the body.
func sameWay(body map[string]secret.Text, byCookie bool) *Problem {
	asked, given := body["delivery"]
	if given && asked.Reveal() != map[bool]string{false: deliverBody, true: deliverCookie}[byCookie] {
		return badRequest("the answer goes the way that the refresh token came: leave delivery out")
	}
	return nil
}

// refreshSession is for a browser that has a legacy session and no refresh token, and whose page was refused: it knows no
// more than that. It gets what an exchange gives, under the same conditions.
func (s *Service) refreshSession(w http.ResponseWriter, r *http.Request, body map[string]secret.Text) (string, *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	if p := m.doc.checkOrigin(r, true); p != nil {
		return "cross_site", p
	}
	if p := checkNoForm(r.Header); p != nil {
		return "invalid", p
	}
	if m.byCookie, p = m.doc.sessionDelivery(body); p != nil {
		return "invalid", p
	}
	cookie, err := m.doc.steer.Session(r.Header["Cookie"])
	switch {
	case m.doc.steer.Rules().Exchange(m.now, "").Refused:
		return "sunset", errSunset()
	case err != nil:
		return "invalid", badRequest(err.Error())
	}
	carried, _ := readCookies(r, m.doc)
	return s.exchangeShown(w, r, m, cookie, carried)
}

// shownRefresh is a refresh token and how it was shown.
type shownRefresh struct {
	text     secret.Text
	client   string // who shows it, empty for no client in particular
	byCookie bool
	session  secret.Text // the legacy session beside it
}

// renew trades a refresh token for client, empty for none.
func (s *Service) renew(w http.ResponseWriter, r *http.Request, text secret.Text, client string) (string, *Problem) {
	return s.trade(w, r, shownRefresh{text: text, client: client})
}

// trade gives a new pair for a refresh token. One that was issued to a client is good for no other.
func (s *Service) trade(w http.ResponseWriter, r *http.Request, shown shownRefresh) (result string, p *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	owner := ""
	defer func() { s.countRefresh(m, owner, result, p) }()
	m.byCookie = shown.byCookie
	presented, err := store.ParseToken(shown.text)
	if err != nil {
		result, p := refreshRefused(store.Unknown)
		return s.orSession(w, r, m, shown.session, result, p)
	}
	seen, err := s.Families.Inspect(r.Context(), presented, m.now, m.doc.Refresh.RetryWindow.Std())
	if err != nil {
		return "unavailable", s.storeFailed("inspect", err)
	}
	if bound := seen.Family.Client; bound != "" && bound != shown.client {
		return refreshRefused(store.Unknown) // without effect: who cannot prove to be that client ends no session of it
	}
	m.client, owner = seen.Family.Client, seen.Family.Subject
	switch seen.Outcome {
	case store.Rotated, store.Retried:
		beside := s.besideRefresh(r, m, shown.session)
		if beside.live() && beside.User != seen.Family.Subject {
			s.auditConflict(r, m.doc, "refresh", seen.Family.Subject, beside.User)
			return "conflict", conflicting()
		}
		return s.rotate(w, r, m, presented, seen.Family, beside)
	case store.Reused:
		result, p := s.reuse(r, m, presented)
		return s.orSession(w, r, m, shown.session, result, p)
	case store.Revoked:
		return s.revokedBeside(w, r, m, shown, seen.Family)
	default:
		result, p := refreshRefused(seen.Outcome)
		return s.orSession(w, r, m, shown.session, result, p)
	}
}

// orSession trades the live session of a browser whose refresh token is refused: whoever has a good credential is not
// sent to the login. The answer gives nothing that an exchange of the session would not.
func (s *Service) orSession(w http.ResponseWriter, r *http.Request, m mint, cookie secret.Text, result string, p *Problem) (string, *Problem) {
	if !m.byCookie || p == nil || p.Status != http.StatusUnauthorized {
		return result, p
	}
	beside := s.besideRefresh(r, m, cookie)
	if errors.Is(beside.err, legacy.ErrUnavailable) {
		return "unavailable", errLegacy // an outage logs nobody out
	}
	if !beside.live() {
		return result, p
	}
	if !m.doc.steer.Rules().Exchange(m.now, beside.User).Pair {
		clearCookies(w)
	}
	m.doc.steer.Announce(w.Header(), m.now)
	return s.tradeSession(w, r, m, beside)
}

// rotate asks who the user is today, signs, and then rotates: the store's answer decides whether the token leaves.
func (s *Service) rotate(w http.ResponseWriter, r *http.Request, m mint, presented store.Token, family store.Family, beside shownSession) (string, *Problem) {
	until := m.prolonged(family, beside)
	if whole := m; family.Source == legacySource && !m.until(until) {
		result, p := refreshRefused(store.Expired)
		return s.orSession(w, r, whole, beside.cookie, result, p)
	}
	early, err := s.endedEarly(r.Context(), m, family, beside)
	if err != nil {
		return "unavailable", s.storeFailed("acquaint", err)
	}
	if early {
		s.abandon(r, m, store.Created{Family: family})
		return refreshRefused(store.Expired)
	}
	user, err := s.lookup(r.Context(), m, family.Owner, beside)
	switch {
	case errors.Is(err, identity.ErrGone):
		if _, err := s.Sessions.RevokeSession(r.Context(), store.Revoke{SessionID: family.SessionID, Now: m.now, Retention: m.doc.retention()}); err != nil {
			return "unavailable", s.storeFailed("revoke", err)
		}
		return refreshRefused(store.Revoked)
	case err != nil:
		return s.lookupFailed(err)
	}
	issue := m.doc.steer.Rules().Refresh(m.now, rollout.Client{User: family.Subject, Cookies: m.byCookie, LiveSession: beside.live()})
	if issue.ClearTokens {
		if done, result, p := s.goBack(w, r, m, presented, beside); done {
			return result, p
		}
	}
	if p := s.measure(m, user); p != nil {
		return "error", p
	}
	access, p := s.sign(m, user, family.SessionID)
	if p != nil {
		return "error", p
	}
	done, err := s.Families.Rotate(r.Context(), store.RotateRequest{Token: presented, Now: m.now, Limits: m.doc.limits(), AccessExpiry: m.expires, Until: until})
	if err != nil {
		return "unavailable", s.storeFailed("rotate", err)
	}
	if done.Successor.Zero() {
		return s.rotationRefused(r, m, presented, done)
	}
	if issue.Pair && issue.Session && m.doc.Legacy.Issuer != nil {
		if issued, ok := s.extended(r.Context(), m, beside); ok {
			passOn(w, issued.Cookies)
		}
	}
	s.counter.Given(m.doc.steer, m.now, done.Family.Subject)
	s.writePair(w, m, access, done.Successor, done.Family)
	if done.Outcome == store.Retried {
		return repeated(done.Family, m.now), nil
	}
	return string(done.Outcome), nil
}

// users knows who somebody is today. See [identity.Directory.Lookup].
type users interface {
	Lookup(ctx context.Context, user identity.User) (identity.User, error)
}

// lookupFailed tells a crowd, and a client that has gone, from an outage: nothing is wrong with what was asked then.
func (s *Service) lookupFailed(err error) (string, *Problem) {
	switch {
	case errors.Is(err, identity.ErrBusy):
		return "busy", unavailable(CodeBusy, "Too many users are looked up at this moment")
	case errors.Is(err, context.Canceled):
		return "cancelled", unavailable(CodeBusy, "The request took too long")
	default:
		s.Log.Error("identity_unavailable", "error", err.Error())
		return "unavailable", unavailable(CodeIdentityDown, "The users cannot be looked up at this moment")
	}
}

// reuse lets the store judge again, with effect: the family ends.
func (s *Service) reuse(r *http.Request, m mint, presented store.Token) (string, *Problem) {
	done, err := s.Families.Rotate(r.Context(), store.RotateRequest{Token: presented, Now: m.now, Limits: m.doc.limits()})
	if err != nil {
		return "unavailable", s.storeFailed("rotate", err)
	}
	return s.rotationRefused(r, m, presented, done)
}

// rotationRefused is the answer to a rotation that gave no token. A reuse ended the session and is told.
func (s *Service) rotationRefused(r *http.Request, m mint, presented store.Token, done store.RotateResult) (string, *Problem) {
	result, p := refreshRefused(done.Outcome)
	if done.Outcome == store.Reused {
		result = reused(done.Family, presented)
		client, _ := clientAddress(r, m.doc.TrustedProxies)
		s.auditReuse(result, done.Family, client)
	}
	return result, p
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
