package tokenhttp

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

func (s *Service) logout(w http.ResponseWriter, r *http.Request) *Problem {
	result, p := s.doLogout(w, r)
	s.metrics.logouts.WithLabelValues(result).Inc()
	return p
}

// clearSiteData is what a browser forgets after a logout by cookie (W3C, Clear-Site-Data): pages that the user saw must
// not come from the cache for the next one at that machine. Not "cookies", which would delete those of every host of the
// registrable domain; not "storage", which is the application's own, e.g. its settings and its service worker.
const clearSiteData = `"cache"`

// doLogout ends every session that the request shows a credential of. One good credential is enough. A refresh token that
// nobody knows is good too: its session has ended, or the store that knew it is lost. Which of both cannot be told, so
// without another credential the answer does not claim that its access tokens are refused. A legacy session ends with the
// tokens beside it, and alone.
func (s *Service) doLogout(w http.ResponseWriter, r *http.Request) (string, *Problem) {
	now := s.Now()
	doc := s.Document()
	if doc == nil {
		return "not_ready", errNotReady
	}
	// A damaged or doubled cookie, which a host of the same domain can plant, keeps nobody from logging out.
	carried, damaged := readCookies(r, doc)
	if carried.any() || damaged != nil {
		if p := doc.checkSource(r, true); p != nil {
			return "cross_site", p
		}
		if p := checkNoForm(r.Header); p != nil {
			return "invalid", p
		}
	}
	cookie, p := doc.endedSession(r, now)
	if p != nil {
		return "cross_site", p
	}
	body, p := readBody(w, r, true, "refresh_token", "access_token")
	if p != nil {
		return "invalid", p
	}
	bearer, p := bearerToken(r.Header)
	if p != nil {
		return "invalid", p
	}
	found, p := s.collect(r.Context(), doc, now, carried, body, bearer)
	if p != nil {
		return "unavailable", p
	}
	if !cookie.Empty() {
		if p := doc.checkAlone(r, found.shown-carried.count()); p != nil {
			return "cross_site", p
		}
		return s.endSession(w, r, doc, now, cookie, found, carried.any())
	}
	switch {
	case damaged != nil && len(found.sessions) == 0:
		return "invalid", damaged
	case found.shown == 0:
		return "invalid", badRequest("show a refresh_token or an access_token in the body, or an access token as Authorization: Bearer")
	case found.good == 0:
		p := unauthorized(CodeInvalidToken, "The token was not issued here, or is damaged")
		p.challenge = `Bearer error="invalid_token"`
		if carried.any() {
			clearCookies(w) // what is in them is worth nothing
		}
		return "invalid", p
	}
	return s.end(w, r, doc, now, ended{sessions: found.sessions, users: found.users, byCookie: carried.any()})
}

// collect resolves every token that a logout shows.
func (s *Service) collect(ctx context.Context, doc *Document, now time.Time, carried shownCookies, body map[string]secret.Text, bearer secret.Text) (found credentials, p *Problem) {
	if text, given := body["refresh_token"]; given {
		if p := s.resolveRefresh(ctx, text, now, &found); p != nil {
			return found, p
		}
	}
	if !carried.refresh.Empty() {
		if p := s.resolveRefresh(ctx, carried.refresh, now, &found); p != nil {
			return found, p
		}
	}
	if text, given := body["access_token"]; given {
		found.addAccess(doc, now, text)
	}
	for _, text := range []secret.Text{bearer, carried.access} {
		if !text.Empty() {
			found.addAccess(doc, now, text)
		}
	}
	return found, nil
}

func (s *Service) revoke(w http.ResponseWriter, r *http.Request, doc *Document, now time.Time, sessions []session) (string, *Problem) {
	return s.end(w, r, doc, now, ended{sessions: sessions})
}

// ended are the sessions that a request ends, and whether a browser showed them by cookies.
type ended struct {
	sessions []session
	users    []string // who leave
	byCookie bool
	legacy   shownSession
}

// end answers after the store has every revocation and the edges had their time to apply them.
func (s *Service) end(w http.ResponseWriter, r *http.Request, doc *Document, now time.Time, what ended) (string, *Problem) {
	highest, p := s.revokeAll(r.Context(), doc, now, what.sessions)
	if p != nil {
		return "unavailable", p
	}
	if what.legacy.live() {
		number, p := s.endLegacy(r.Context(), doc, now, what.legacy)
		if p != nil {
			return "unavailable", p
		}
		highest = max(highest, number)
	}
	for _, user := range append(what.users, what.legacy.User) {
		s.counter.Left(user)
	}
	propagated := false
	if highest > 0 {
		// The wait is bounded by two leases; the connection's own deadline may be shorter.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2*doc.MaxPropagation.Std() + 10*time.Second))
		begun := s.Now()
		propagated = s.Edges.Wait(r.Context(), highest)
		s.metrics.propagation.Observe(s.Now().Sub(begun).Seconds())
	}
	if !what.legacy.cookie.Empty() {
		clearSession(w, doc)
		w.Header().Set("Clear-Site-Data", clearSiteData)
	}
	if what.byCookie {
		clearCookies(w)
		w.Header().Set("Clear-Site-Data", clearSiteData)
	}
	s.auditLogout(r, doc, what, propagated)
	writeJSON(w, struct {
		Propagated bool `json:"propagated"`
	}{propagated})
	switch {
	case propagated:
		return "ok", nil
	case highest == 0:
		return "unknown", nil
	default:
		return "not_propagated", nil
	}
}

// session is one to end, and the latest `exp` that was seen of it; zero if none was.
type session struct {
	id      string
	expires time.Time
}

// credentials collects what a logout shows.
type credentials struct {
	shown, good int
	sessions    []session
	users       []string // of tokens that are good at this moment
}

// otherThan is a user of a good token who is not this one; empty if there is none.
func (c *credentials) otherThan(user string) string {
	for _, other := range c.users {
		if other != user {
			return other
		}
	}
	return ""
}

func (c *credentials) add(sid string, expires time.Time) {
	c.good++
	for i, known := range c.sessions {
		if known.id == sid {
			if expires.After(known.expires) {
				c.sessions[i].expires = expires
			}
			return
		}
	}
	c.sessions = append(c.sessions, session{sid, expires})
}

// addAccess takes an access token of ours whose signature is good, however old and for whatever audience.
func (c *credentials) addAccess(doc *Document, now time.Time, text secret.Text) {
	c.shown++
	v := doc.verifier.VerifyExpired(now, text.Reveal())
	if v.Outcome != policy.Valid {
		return
	}
	if _, ok := revocation.SessionNumber(v.Claims.SessionID); ok {
		c.add(v.Claims.SessionID, v.Claims.ExpiresAt)
		if v.Claims.ExpiresAt.After(now) {
			c.users = append(c.users, v.Claims.Subject)
		}
	}
}

func (s *Service) resolveRefresh(ctx context.Context, text secret.Text, now time.Time, found *credentials) *Problem {
	found.shown++
	presented, err := store.ParseToken(text)
	if err != nil {
		return nil
	}
	seen, err := s.Families.Inspect(ctx, presented, now, 0)
	if err != nil {
		return s.storeFailed("inspect", err)
	}
	if seen.Outcome == store.Unknown {
		found.good++
		return nil
	}
	found.add(seen.Family.SessionID, time.Time{})
	if seen.Outcome == store.Rotated {
		found.users = append(found.users, seen.Family.Subject)
	}
	return nil
}

// bearerToken reads Authorization (RFC 6750, section 2.1); empty if there is none.
func bearerToken(h http.Header) (secret.Text, *Problem) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return secret.Text{}, nil
	}
	scheme, rest, found := strings.Cut(values[0], " ")
	if len(values) > 1 || !found || !strings.EqualFold(scheme, "Bearer") || rest == "" || strings.ContainsAny(rest, " ,") {
		return secret.Text{}, badRequest("Authorization must be one Bearer token")
	}
	return secret.NewText(rest), nil
}
