package tokenhttp

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// situation is a line of a table.
type situation struct {
	*rig
	path                                       string
	stage, cohort, maker, dual, token, session string
	// refresh is the refresh token that is shown, sid the session's cookie.
	refresh, sid string
}

func TestRolloutTable(t *testing.T) {
	rows := 0
	for path, table := range map[string]string{"/auth/login": loginTable, "/auth/refresh": refreshTable, exchangePath: exchangeTable, "/auth/logout": logoutTable} {
		for line := range strings.Lines(table) {
			given, want, found := strings.Cut(strings.TrimSpace(line), "|")
			if !found || strings.HasPrefix(given, "#") {
				continue
			}
			rows++
			f := strings.Fields(given)
			if len(f) != 6 {
				t.Fatalf("%q has %d words", line, len(f))
			}
			t.Run(path+" "+strings.Join(f, " "), func(t *testing.T) {
				t.Parallel()
				s := &situation{path: path, stage: f[0], cohort: f[1], maker: f[2], dual: f[3], token: f[4], session: f[5]}
				s.prepare(t)
				a := s.ask()
				if got := s.saw(a); got != strings.TrimSpace(want) {
					t.Fatalf("\ngot  %s\nwant %s\n%s %v", got, strings.TrimSpace(want), a.raw, a.header)
				}
				s.keepsPromises(a)
			})
		}
	}
	if rows < 80 {
		t.Errorf("only %d rows", rows)
	}
}

// prepare makes the credentials while everything works, and then breaks what the line breaks.
func (s *situation) prepare(t *testing.T) {
	t.Helper()
	s.rig = newLegacyRig(t, 100)
	if s.path != "/auth/login" {
		s.prepareToken()
	}
	s.prepareSession()
	s.steer(func(r *snapshot.Rollout) {
		if s.cohort == "out" {
			r.Percent = 0
		}
		r.DualIssue = s.dual == "dual"
		if s.stage != "migrating" {
			r.Deprecation, r.Sunset = s.clock.Now().Add(-time.Hour), s.clock.Now().Add(24*time.Hour)
		}
		r.SunsetReached = s.stage == "sunset"
	})
	if s.maker == "none" {
		doc := s.issuer
		doc.Legacy = &snapshot.Legacy{}
		s.use(doc)
	}
	s.app.issuerDown, s.app.down = s.maker == "down", s.session == "down"
}

func (s *situation) prepareToken() {
	s.Helper()
	if s.token == "none" {
		return
	}
	s.refresh = s.loggedIn("203.0.113.1").text("refresh_token")
	switch s.token {
	case "retried":
		s.want(s.rig.refresh(s.refresh), http.StatusOK, "")
	case "late":
		s.want(s.rig.refresh(s.refresh), http.StatusOK, "")
		s.clock.advance(time.Minute)
	case "revoked":
		s.want(s.logout("refresh_token", s.refresh), http.StatusOK, "")
	case "expired":
		s.clock.advance(1000 * time.Hour)
	case "unknown":
		s.refresh = store.NewToken().Text().Reveal()
	case "body", "cookie":
	default:
		s.Fatalf("token %q", s.token)
	}
}

func (s *situation) prepareSession() {
	s.Helper()
	switch s.session {
	case "none":
	case "live", "down", "twice":
		s.sid = s.app.session("alice", 8*time.Hour)
	case "short":
		s.sid = s.app.session("alice", 5*time.Minute)
	case "other":
		s.sid = s.app.session("bob", 8*time.Hour)
	case "expired":
		s.sid = s.app.session("alice", -time.Second)
		s.app.expire(s.sid)
	case "ended": // the application did not hear of it
		s.sid = s.app.session("alice", 8*time.Hour)
		kept := s.app.sessions[s.sid]
		s.want(s.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, s.sid)...), http.StatusOK, "")
		s.app.sessions[s.sid] = kept
	default:
		s.Fatalf("session %q", s.session)
	}
}

// ask sends the request of the line.
func (s *situation) ask() answer {
	s.Helper()
	cookies := []string{sessionCookie, s.sid}
	if s.session == "twice" {
		cookies = append(cookies, sessionCookie, "planted")
	}
	body := ""
	switch {
	case s.path == "/auth/login":
		body = object("username", "alice", "password", canary, "delivery", s.token)
	case s.token == "body":
		body = object("refresh_token", s.refresh)
	default:
		cookies = append(cookies, refreshCookie, s.refresh)
	}
	return s.do(http.MethodPost, s.path, body, browse(cookies...)...)
}

// saw describes an answer as the tables do.
func (s *situation) saw(a answer) string {
	words := []string{strconv.Itoa(a.status)}
	if text := a.text("code") + a.text("token_type"); text != "" {
		words = append(words, text)
	}
	cookies := given(a)
	for _, c := range [][2]string{{sessionCookie, "sid"}, {refreshCookie, "tokens"}} {
		switch value, there := cookies[c[0]]; {
		case there && value == "-":
			words = append(words, c[1]+"-")
		case there:
			words = append(words, c[1]+"+")
		}
	}
	if (cookies[refreshCookie] == "") != (cookies[snapshot.AccessCookie] == "") {
		s.Error("one of the token cookies is set without the other")
	}
	if a.header.Get("Deprecation") != "" {
		words = append(words, "announced")
		if a.header.Get("Sunset") == "" || a.header.Get("Link") == "" {
			s.Errorf("half an announcement: %v", a.header)
		}
	}
	return strings.Join(words, " ")
}

// keepsPromises checks that what an answer gives works, that what is not replaced still does, and that what a logout
// ended does not.
func (s *situation) keepsPromises(a answer) {
	s.Helper()
	s.app.down, s.app.issuerDown = false, false
	cookies := given(a)
	switch {
	case s.path == "/auth/logout" && a.status == http.StatusOK:
		if s.refresh != "" && s.token != "unknown" {
			if got := s.rig.refresh(s.refresh); got.status != http.StatusUnauthorized {
				s.Errorf("the refresh token is good after the logout: %d", got.status)
			}
		}
		if s.stage != "sunset" && s.session != "none" && s.session != "twice" && s.live(s.sid) {
			s.Error("the session is live after the logout")
		}
		return
	case a.status == http.StatusOK && a.text("token_type") == "session":
		sid := s.sid
		if fresh := cookies[sessionCookie]; fresh != "" {
			sid = fresh
		}
		if !s.live(sid) {
			s.Error("the session that is left is not live")
		}
		return
	case a.status == http.StatusOK:
		refresh := a.text("refresh_token")
		if refresh == "" {
			refresh = cookies[refreshCookie]
		}
		s.want(s.rig.refresh(refresh), http.StatusOK, "")
		return
	}
	// A refusal takes nothing away that was good, but a logout that could not end everything may have ended something.
	if (s.token == "body" || s.token == "cookie") && s.path != "/auth/login" && a.status != http.StatusServiceUnavailable {
		s.want(s.rig.refresh(s.refresh), http.StatusOK, "")
	}
	if s.stage != "sunset" && (s.session == "live" || s.session == "other") && !s.live(s.sid) {
		s.Error("the session was good before the refusal")
	}
}

// live asks as an edge would.
func (s *situation) live(sid string) bool {
	s.Helper()
	answer, err := s.service.Ask(s.Context(), secret.NewText(sid))
	if err != nil {
		s.Fatal(err)
	}
	return answer.Valid
}
