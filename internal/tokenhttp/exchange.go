package tokenhttp

import (
	"errors"
	"net/http"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

// exchangeSession answers /auth/session/exchange.
func (s *Service) exchangeSession(w http.ResponseWriter, r *http.Request) *Problem {
	result, p := s.doExchangeSession(w, r)
	s.metrics.exchanges.WithLabelValues(result).Inc()
	return p
}

// doExchangeSession makes tokens of a live legacy session, or leaves it as it is: the rollout decides.
func (s *Service) doExchangeSession(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	m, p := s.begin()
	if p != nil {
		return "not_ready", p
	}
	if m.doc.steer.Rules().Exchange(m.now, "").Refused {
		return "sunset", errSunset()
	}
	cookie, err := m.doc.steer.Session(r.Header["Cookie"])
	if err != nil {
		return "invalid", badRequest(err.Error())
	}
	carried, _ := readCookies(r, m.doc) // damaged ones are replaced
	if p := m.doc.checkOrigin(r, true); p != nil {
		return "cross_site", p
	}
	if p := checkNoForm(r.Header); p != nil {
		return "invalid", p
	}
	body, p := readBody(w, r, true, "delivery")
	if p != nil {
		return "invalid", p
	}
	if m.byCookie, p = m.doc.sessionDelivery(body); p != nil {
		return "invalid", p
	}
	return s.exchangeShown(w, r, m, cookie, carried)
}

// sessionDelivery is where the tokens go of who shows nothing but a session. Where the body does not say, it is a browser.
func (d *Document) sessionDelivery(body map[string]secret.Text) (byCookie bool, p *Problem) {
	asked, given := body["delivery"]
	if !given {
		return d.cookies(), nil
	}
	return d.delivery(asked.Reveal(), true)
}

// exchangeShown trades a session that came from a page of our own, as far as the address may. Only here anything is
// counted: what pages of other sites have browsers send spends nobody's budget.
func (s *Service) exchangeShown(w http.ResponseWriter, r *http.Request, m mint, cookie secret.Text, carried shownCookies) (string, *Problem) {
	if cookie.Empty() {
		return "absent", unauthorized(CodeNoCredential, "The request has no legacy session")
	}
	from, trusted := clientAddress(r, m.doc.TrustedProxies)
	if !trusted {
		s.strangers.note(from, m.now)
	}
	limit := min(m.doc.LoginLimit.Limit*exchangesPerLogin, maxExchanges)
	if result, p := s.limitOAuth(w, r, "session", place(from), limit, m.doc.LoginLimit.Window.Std(), m.now); p != nil {
		return result, p
	}
	shown := s.lookAt(r.Context(), m.doc, cookie)
	if shown.err != nil {
		return sessionRefused(shown.err)
	}
	if result, p := s.agree(r, m, carried, shown); p != nil {
		return result, p
	}
	m.doc.steer.Announce(w.Header(), m.now)
	result, p := s.tradeSession(w, r, m, shown)
	s.countExchange(m, shown.User, result, p)
	return result, p
}

// errSunset refuses sessions for good.
func errSunset() *Problem {
	return unauthorized(CodeLegacySunset, "Legacy sessions have ended: log in")
}

func sessionRefused(err error) (string, *Problem) {
	if errors.Is(err, legacy.ErrInvalid) {
		return "denied", unauthorized(CodeLegacyInvalid, "The legacy session is not known, or has ended: log in")
	}
	return "unavailable", errLegacy
}

// agree refuses a session beside good tokens of another user. Tokens that are not good say nothing.
func (s *Service) agree(r *http.Request, m mint, carried shownCookies, shown shownSession) (string, *Problem) {
	bearer, p := bearerToken(r.Header)
	if p != nil {
		return "invalid", p
	}
	var found credentials
	if !carried.refresh.Empty() {
		if p := s.resolveRefresh(r.Context(), carried.refresh, m.now, &found); p != nil {
			return "unavailable", p
		}
	}
	for _, text := range []secret.Text{bearer, carried.access} {
		if !text.Empty() {
			found.addAccess(m.doc, m.now, text)
		}
	}
	if other := found.otherThan(shown.User); other != "" {
		s.auditConflict(r, m.doc, "exchange", other, shown.User)
		return "conflict", conflicting()
	}
	return "", nil
}

// tradeSession gives what the rollout says for a session that is live: in cookies, if the mint says so.
func (s *Service) tradeSession(w http.ResponseWriter, r *http.Request, m mint, shown shownSession) (string, *Problem) {
	issue := m.doc.steer.Rules().Exchange(m.now, shown.User)
	client, _ := clientAddress(r, m.doc.TrustedProxies)
	hash := shown.hash()[:12]
	if !issue.Pair {
		s.Log.Info("session_exchange", "result", "session", "user", shown.User, "session", hash, "client", client.String())
		s.counter.Given(m.doc.steer, m.now, shown.User)
		writeSession(w, m.now, shown.Session)
		return "session", nil
	}
	if !m.until(m.bound(shown)) {
		return sessionRefused(legacy.ErrInvalid)
	}
	if p := s.measure(m, shown.user()); p != nil {
		return "error", p
	}
	done, p := s.familyOf(r, m, shown)
	switch {
	case p != nil:
		return "unavailable", p
	case done.Outcome == store.Revoked:
		if p := s.endDistrusted(w, r, m, shown); p != nil {
			return "unavailable", p
		}
		return sessionRefused(legacy.ErrInvalid)
	}
	if err := s.outlived(r, m, shown, done.Family); err != nil {
		return sessionRefused(err)
	}
	if err := s.noteAlive(r.Context(), m, shown); err != nil {
		return "unavailable", s.storeFailed("acquaint", err)
	}
	access, p := s.sign(m, shown.user(), done.Family.SessionID)
	if p != nil {
		return "error", p // within the retry window the same exchange finds the same family
	}
	s.Log.Info("session_exchange", "result", "pair", "user", shown.User, "sid", done.Family.SessionID, "session", hash, "client", client.String(), "cookies", m.byCookie)
	s.counter.Given(m.doc.steer, m.now, shown.User)
	s.writePair(w, m, access, done.Successor, done.Family)
	return "pair", nil
}

// exchangeTries is how often a family is looked for and made: each time that it fails, another exchange of the same
// session has got on.
const exchangeTries = 4

// familyOf finds the family that a session has become, or makes it. Its first token comes of the cookie, so that all
// exchanges of one session meet there: the first makes the family and spends that token; one inside the retry window gets
// the same successor, as any refresh does; a later one ends the family, which may be in other hands by now, and makes
// the next. The outcome is [store.Revoked] where a document has revoked the family: then there is no next.
func (s *Service) familyOf(r *http.Request, m mint, shown shownSession) (store.RotateResult, *Problem) {
	first := store.DeriveToken(shown.cookie, m.doc.Header.Issuer)
	owner := m.owner(shown.user())
	for range exchangeTries {
		done, err := s.Families.Rotate(r.Context(), store.RotateRequest{Token: first, Now: m.now, Limits: m.doc.limits(), AccessExpiry: m.expires})
		if err != nil {
			return store.RotateResult{}, s.storeFailed("rotate", err)
		}
		alive := done.Outcome == store.Rotated || done.Outcome == store.Retried
		if alive && done.Family.Subject == shown.User {
			return done, nil
		}
		if done.Outcome == store.Revoked {
			if bad, p := s.distrusted(r.Context(), m.doc, m.now, done.Family); p != nil || bad {
				return done, p
			}
		}
		if alive { // the application gave the session to another user and kept its id
			if _, err := s.Sessions.RevokeSession(r.Context(), store.Revoke{SessionID: done.Family.SessionID, Now: m.now, Retention: m.doc.retention()}); err != nil {
				return store.RotateResult{}, s.storeFailed("revoke", err)
			}
		}
		created, err := s.Families.Create(r.Context(), store.NewFamily{
			Owner: owner, Now: m.now, Limits: m.doc.limits(), AccessExpiry: m.expires, Token: first, Until: m.bound(shown),
		})
		if err != nil && !errors.Is(err, store.ErrExists) {
			return store.RotateResult{}, s.storeFailed("create", err)
		}
		s.metrics.evicted.Add(float64(created.Evicted))
	}
	s.Log.Error("exchange_contended", "user", shown.User)
	return store.RotateResult{}, errStore
}
