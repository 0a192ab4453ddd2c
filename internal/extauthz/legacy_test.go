package extauthz

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// byCookie is a request with a legacy session, as the HTTP dialect reads it.
func byCookie(value string, change ...func(*question)) question {
	q := question{protocol: "nginx", policy: policy.DefaultPolicy, method: "GET", scheme: "https", host: "app.example.test", target: "/orders/1", agent: "curl/8",
		peer: loopback, page: page{cookies: []string{legacyName + "=" + value}}}
	for _, f := range change {
		f(&q)
	}
	return q
}

func withToken(raw string) func(*question) {
	return func(q *question) { q.authorization = []string{"Bearer " + raw} }
}

func (w *world) reason(t *testing.T, q question) string {
	t.Helper()
	out := w.decide(t.Context(), q)
	return fmt.Sprint(out.HTTPStatus(), " ", out.Reason, " ", out.Method)
}

func TestHostileLegacyCookies(t *testing.T) {
	w := newLegacyWorld(t)
	on, _ := w.serve(t, Drain{})
	proxy := newEnvoy(t, on.GRPC.Addr().String())
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"good among others":     {[]string{"a=b; " + legacyName + "=ann.1;c=d"}, "200"},
		"in the second line":    {[]string{legacyName + "=ann.1", "a=b"}, "200"},
		"only the name":         {[]string{legacyName}, "401 no_credential"},
		"empty":                 {[]string{legacyName + "="}, "401 no_credential"},
		"another case":          {[]string{strings.ToUpper(legacyName) + "=ann.1"}, "401 no_credential"},
		"a longer name":         {[]string{"x" + legacyName + "=ann.1; " + legacyName + "x=ann.1"}, "401 no_credential"},
		"a name in a value":     {[]string{"x=" + legacyName + "=ann.1"}, "401 no_credential"},
		"twice":                 {[]string{legacyName + "=ann.1; " + legacyName + "=ann.1"}, "401 invalid_request"},
		"twice, one is empty":   {[]string{legacyName + "=; " + legacyName + "=ann.1"}, "401 invalid_request"},
		"twice, in two lines":   {[]string{legacyName + "=bob.1", legacyName + "=ann.1"}, "401 invalid_request"},
		"joined by a comma":     {[]string{legacyName + "=ann.1,x=y"}, "401 legacy_session_invalid"},
		"with a space":          {[]string{legacyName + "=ann 1"}, "401 legacy_session_invalid"},
		"with a backslash":      {[]string{legacyName + `=ann\1`}, "401 legacy_session_invalid"},
		"not ASCII":             {[]string{legacyName + "=ann.é"}, "401 legacy_session_invalid"},
		"too long":              {[]string{legacyName + "=" + strings.Repeat("a", 5000)}, "401 legacy_session_invalid"},
		"as long as it may be":  {[]string{legacyName + "=" + strings.Repeat("a", 4096-len(legacyName))}, "401 legacy_session_invalid"},
		"beside a broken token": {[]string{legacyName + "=ann.1; " + accessCookie + "a.b.c"}, "401 invalid_token"},
	} {
		asked := w.feed.asked.Load()
		var lines []header
		for _, line := range c.lines {
			lines = append(lines, header{"Cookie", line})
		}
		r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest("", func(h *[]header) { *h = append(*h, lines...) }))
		if got := strings.TrimSpace(fmt.Sprint(r.StatusCode, " ", r.Header.Get(HeaderCode))); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if c.want != "200" && name != "as long as it may be" && w.feed.asked.Load() != asked {
			t.Errorf("%s: the token service was asked", name)
		}
		for _, raw := range []bool{true, false} {
			if len(lines) > 1 && !raw {
				continue // Envoy joins cookies by a semicolon, unlike this one
			}
			proxy.raw = raw
			e := proxy.send(t, get(lines...))
			if got := strings.TrimSpace(fmt.Sprint(e.status, " ", e.headers["X-Keyturn-Code"])); got != c.want {
				t.Errorf("%s, raw %t: %s, want %s", name, raw, got, c.want)
			}
		}
	}
	if text := w.log.String(); strings.Contains(text, "ann.1") || strings.Contains(text, "aaaa") {
		t.Error("the log holds a cookie")
	}
}

// What the token service says may be wrong.
func TestLyingTokenService(t *testing.T) {
	w := newLegacyWorld(t)
	n := 0
	for name, c := range map[string]struct {
		answer feed.SessionAnswer
		want   string
	}{
		"nobody":          {feed.SessionAnswer{Valid: true}, "403 unusable_identity "},
		"a broken line":   {feed.SessionAnswer{Valid: true, User: "ann\r\nX-Auth-Role: root"}, "403 unusable_identity "},
		"a broken role":   {feed.SessionAnswer{Valid: true, User: "ann", Role: "a\nb"}, "403 unusable_identity "},
		"a huge user":     {feed.SessionAnswer{Valid: true, User: strings.Repeat("a", 1<<16)}, "403 unusable_identity "},
		"a huge role":     {feed.SessionAnswer{Valid: true, User: "ann", Role: strings.Repeat("a", 1<<16)}, "403 unusable_identity "},
		"a user, not one": {feed.SessionAnswer{User: "ann"}, "401 legacy_session_invalid "},
		"ended":           {feed.SessionAnswer{Valid: true, User: "ann", Expires: time.Now().Add(-time.Second)}, "401 legacy_session_invalid "},
		"good":            {feed.SessionAnswer{Valid: true, User: "ann", Expires: time.Now().Add(time.Hour)}, "200 ok session"},
	} {
		w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) { return c.answer, nil })
		n++
		for range 2 { // asked, and remembered
			if got := w.reason(t, byCookie(fmt.Sprint("c", n))); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
	w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) { panic("SECRET") })
	if got := w.reason(t, byCookie("p")); got != "503 legacy_unavailable " || strings.Contains(w.log.String(), "SECRET") {
		t.Errorf("a panic: %s", got)
	}
	if got := w.reason(t, byCookie("p", withToken(mint(t, signingKeys()[0])))); got != "200 ok jwt" {
		t.Errorf("a panic beside a token: %s", got)
	}
}

// A session whose end comes while it is remembered is over then.
func TestSessionEndsWhileRemembered(t *testing.T) {
	w := newLegacyWorld(t)
	c := &clock{}
	w.Authorizer.now, w.sessions.now = c.now, c.now
	w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) {
		return feed.SessionAnswer{Valid: true, User: "ann", Expires: c.now().Add(3 * time.Second)}, nil
	})
	if got := w.reason(t, byCookie("x")); got != "200 ok session" {
		t.Fatal(got)
	}
	c.forward(3 * time.Second)
	if got := w.reason(t, byCookie("x")); got != "401 legacy_session_invalid " || w.feed.asked.Load() != 1 {
		t.Errorf("%s after %d questions", got, w.feed.asked.Load())
	}
}

func TestSlowTokenService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLegacyWorld(t)
		release := make(chan struct{})
		w.feed.answer(func(ctx context.Context, cookie string) (feed.SessionAnswer, error) {
			if cookie == "dead" {
				<-ctx.Done()
				return feed.SessionAnswer{}, feed.ErrSessionsUnavailable
			}
			<-release
			return feed.SessionAnswer{Valid: true, User: "ann"}, nil
		})
		timed := func(ctx context.Context, q question, want string, within time.Duration) {
			t.Helper()
			begun := time.Now()
			out := w.decide(ctx, q)
			if got, took := fmt.Sprint(out.HTTPStatus(), " ", out.Reason), time.Since(begun); got != want || took != within {
				t.Errorf("%s after %s, want %s after %s", got, took, want, within)
			}
		}
		// Envoy's deadline: the edge answers before it.
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			timed(ctx, byCookie("x"), "503 legacy_unavailable", 200*time.Millisecond-answerMargin)
			cancel()
		}
		// A user with a token waits shortly, and is let through.
		timed(t.Context(), byCookie("x", withToken(mint(t, signingKeys()[0]))), "200 ok", besideWait)
		// One that is never answered ends before nginx takes the edge for dead.
		timed(t.Context(), byCookie("dead"), "503 legacy_unavailable", feed.AskWithin)
		if feed.AskWithin > 1900*time.Millisecond {
			t.Errorf("a question may take %s", feed.AskWithin)
		}
		close(release)
		timed(t.Context(), byCookie("x"), "200 ok", 0)
		if n := w.feed.asked.Load(); n != 2 {
			t.Errorf("%d questions about two sessions", n)
		}
	})
}

func TestRevokedSessionsEndAtOnce(t *testing.T) {
	w := newLegacyWorld(t)
	if got := w.reason(t, byCookie("ann.1")); got != "200 ok session" {
		t.Fatal(got)
	}
	hash := func(seq uint64, cookie string) revocation.Entry {
		return revocation.Entry{Seq: seq, Kind: revocation.Legacy, Value: revocation.LegacyHash(cookie), Expires: time.Now().Add(time.Hour)}
	}
	check(t, w.feed.list.Apply(hash(2, "ann.1")))
	asked := w.feed.asked.Load()
	if got := w.reason(t, byCookie("ann.1")); got != "401 revoked " || w.feed.asked.Load() != asked {
		t.Errorf("%s, and %d questions", got, w.feed.asked.Load()-asked)
	}
	// While the question is on its way.
	w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) {
		return feed.SessionAnswer{Valid: true, User: "ann"}, w.feed.list.Apply(hash(3, "late"))
	})
	if got := w.reason(t, byCookie("late")); got != "401 revoked " {
		t.Errorf("revoked while it was asked about: %s", got)
	}
	// Of a user: the token service is asked again, whatever it said.
	if got := w.reason(t, byCookie("bob.1")); got != "503 legacy_unavailable " {
		t.Fatal(got) // the entry was there already
	}
	w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) {
		return feed.SessionAnswer{Valid: true, User: "bob"}, nil
	})
	if got := w.reason(t, byCookie("bob.1")); got != "200 ok session" {
		t.Fatal(got)
	}
	w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) { return feed.SessionAnswer{}, nil })
	check(t, w.feed.list.Apply(revocation.Entry{Seq: 4, Kind: revocation.User, Value: "bob", Before: 4, Expires: time.Now().Add(time.Hour)}))
	if got := w.reason(t, byCookie("bob.1")); got != "401 legacy_session_invalid " {
		t.Errorf("bob was revoked: %s", got)
	}
}

// The application's own cookie is under the application's own rules; the token's cookie is under ours.
func TestOtherSitesAndTheLegacyCookie(t *testing.T) {
	w := newLegacyWorld(t)
	foreign := func(q *question) { q.method, q.page.site = "POST", []string{"cross-site"} }
	if got := w.reason(t, byCookie("ann.1", foreign)); got != "200 ok session" {
		t.Error(got)
	}
	both := func(q *question) { q.page.cookies[0] += "; " + accessCookie + mint(t, signingKeys()[0]) }
	if got := w.reason(t, byCookie("ann.1", both, foreign)); got != "403 cross_site " {
		t.Error(got)
	}
}

func TestNoRolloutNoQuestion(t *testing.T) {
	w := newWorld(t)
	if got := w.reason(t, byCookie("ann.1")); got != "401 no_credential " || w.feed.asked.Load() != 0 || w.Status().Rollout != nil {
		t.Errorf("%s, %d questions", got, w.feed.asked.Load())
	}
	for name, spoil := range map[string]func(*snapshot.Rollout){
		"cookie": func(r *snapshot.Rollout) { r.Cookie = "a b" }, "percent": func(r *snapshot.Rollout) { r.Percent = 200 }, "link": func(r *snapshot.Rollout) { r.Link = "https://x/\r\ny" },
	} {
		if w.put(t, legacyDocument(2, spoil)) || w.Status().Refused == nil || w.Status().Refused.Reason != "Incomplete" {
			t.Errorf("a rollout with a bad %s is taken: %+v", name, w.Status().Refused)
		}
	}
	for name, edge := range map[string]func(){"not loaded": func() { w.feed.set(false, false) }} {
		w.put(t, legacyDocument(3))
		edge()
		if got := w.reason(t, byCookie("ann.1")); got != "503 not_ready " || w.feed.asked.Load() != 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The policy tells which claims the application hears, whoever says them.
func TestRoleOfASessionIsToldByPolicyOnly(t *testing.T) {
	w := newLegacyWorld(t)
	if out := w.decide(t.Context(), byCookie("ann.1")); out.Role != "buyer" {
		t.Errorf("role %q", out.Role)
	}
	doc := legacyDocument(3)
	doc.Claims = []string{"user_id"}
	w.put(t, doc)
	if out := w.decide(t.Context(), byCookie("ann.1")); !out.Allow || out.User != "ann" || out.Role != "" {
		t.Errorf("%+v", out.Decision)
	}
}

func TestAnnouncementByEnvoy(t *testing.T) {
	w := newLegacyWorld(t, stages["deprecated"])
	answer, err := checker{a: w.Authorizer}.Check(atLoopback(t), (&envoy{extensions: map[string]string{PolicyExtension: "-/default"}}).request(get(header{"Cookie", legacyName + "=ann.1"})))
	check(t, err)
	got := map[string]string{}
	for _, o := range answer.GetOkResponse().GetResponseHeadersToAdd() {
		got[o.GetHeader().GetKey()] = fmt.Sprint(o.GetHeader().GetValue(), " ", o.GetAppendAction(), " ", o.GetAppend().GetValue()) //nolint:staticcheck // read by some versions
	}
	for name, want := range map[string]string{
		"deprecation": "@1767323045 OVERWRITE_IF_EXISTS_OR_ADD false", "sunset": "Tue, 01 Jan 2199 00:00:00 GMT OVERWRITE_IF_EXISTS_OR_ADD false",
		"link": `<https://example.test/move>; rel="deprecation", <https://example.test/move>; rel="sunset" APPEND_IF_EXISTS_OR_ADD true`,
	} {
		if got[name] != want {
			t.Errorf("%s: %s", name, got[name])
		}
	}
	if len(got) != 3 {
		t.Error(got)
	}
}

func TestRolloutCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLegacyWorld(t)
		now := time.Now()
		w.now = func() time.Time { return now } // one minute
		ann, bob := mint(t, signingKeys()[0]), mint(t, signingKeys()[0], func(c *token.Claims) { c.Subject = "bob" })
		zoe := mint(t, signingKeys()[0], func(c *token.Claims) { c.Subject = "Zoë" })
		none := func(q *question) { q.page.cookies = nil }
		for want, questions := range map[string][]question{
			"200 ok jwt":                  {byCookie("", none, withToken(ann)), byCookie("ann.1", withToken(ann)), byCookie("down.1", withToken(bob))},
			"200 ok session":              {byCookie("ann.1"), byCookie("bob.1"), byCookie("bob.1")},
			"401 legacy_session_invalid ": {byCookie("over.1")},
			"401 no_credential ":          {byCookie("", none)},
			"503 legacy_unavailable ":     {byCookie("down.1")}, // nobody's: it is not known whose
			"401 conflicting_credentials ": {
				byCookie("bob.1", withToken(ann)), byCookie("bob.1", withToken(ann)), byCookie("bob.1", withToken(ann)), // once a minute
			},
			"403 unusable_identity ": {byCookie("", none, withToken(zoe))},
		} {
			for _, q := range questions {
				if got := w.reason(t, q); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		}
		// Bob's session, which nobody can validate any more.
		later := now.Add(sessionLife + time.Minute)
		w.sessions.now = func() time.Time { return later }
		w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) {
			return feed.SessionAnswer{}, feed.ErrSessionsUnavailable
		})
		if got := w.reason(t, byCookie("bob.1")); got != "503 legacy_unavailable " {
			t.Error(got)
		}
		got := w.Status().Rollout
		cohort, control := snapshot.EventCounts{Events: 4, Failures: 1}, snapshot.EventCounts{Events: 4, Failures: 1}
		switch w.edges.Load().steering.Side("Zoë") {
		case 2:
			cohort.Events, cohort.Failures = 5, 2
		default:
			control.Events, control.Failures = 5, 2
		}
		if got == nil || got.Sessions != 3 || got.Tokens != 3 || got.Cohort != cohort || got.Control != control || got.Percent != 50 || got.Endpoints.Events != 0 {
			t.Errorf("%+v", got)
		}
		lines := w.log.lines(t, "conflicting_credentials")
		if len(lines) != 3 || lines[0]["token_user"] != "ann" || lines[0]["session_user"] != "bob" || lines[0]["decision"] == "" {
			t.Errorf("audit: %v", lines)
		}
		if strings.Contains(w.log.String(), "bob.1") {
			t.Error("the log holds a cookie")
		}
		body := scrape(t, w)
		if !strings.Contains(body, `keyturn_session_questions_total{result="unavailable"} 3`) || !strings.Contains(body, `reason="legacy_session_invalid"`) ||
			!strings.Contains(body, `keyturn_authorized_total{credential="session"} 3`) || !strings.Contains(body, `keyturn_authorized_total{credential="jwt"} 3`) {
			t.Errorf("metrics: %s", body)
		}
	})
}
