package extauthz

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

const legacyName = "connect.sid"

var (
	deprecation = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sunsetDate  = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
)

// The stages of the table, as documents say them.
var stages = map[string]func(*snapshot.Rollout){
	"migrating":  func(*snapshot.Rollout) {},
	"deprecated": func(r *snapshot.Rollout) { r.Deprecation, r.Sunset = deprecation, sunsetDate },
	"brownout": func(r *snapshot.Rollout) {
		r.Deprecation, r.Sunset = deprecation, sunsetDate
		r.Brownouts = []snapshot.Brownout{{Start: deprecation, Duration: snapshot.Duration(100 * 365 * 24 * time.Hour), Percent: 100}}
	},
	"sunset": func(r *snapshot.Rollout) {
		r.Deprecation, r.Sunset, r.SunsetReached = deprecation, deprecation.Add(time.Hour), true
	},
}

// legacyDocument has a rollout at 50 % with ann in the cohort and bob not.
func legacyDocument(revision int64, change ...func(*snapshot.Rollout)) snapshot.Edge {
	doc := document(revision, revision, signingKeys()[0])
	doc.AccessCookie = snapshot.AccessCookie
	doc.Rollout = &snapshot.Rollout{
		Name: "shop/move", Cookie: legacyName, Salt: "salt10", Percent: 50, Watched: 50, // ann is in the cohort, bob is not
		Link: "https://example.test/move", MaxSessionLife: snapshot.Duration(24 * time.Hour),
	}
	for _, f := range change {
		f(doc.Rollout)
	}
	return doc
}

// newLegacyWorld has sessions of ann and bob, one that is over and one that nobody can validate.
func newLegacyWorld(t testing.TB, change ...func(*snapshot.Rollout)) *world {
	t.Helper()
	w := newWorld(t)
	if !w.put(t, legacyDocument(2, change...)) {
		t.Fatal("the document was not taken")
	}
	w.feed.answer(func(_ context.Context, cookie string) (feed.SessionAnswer, error) {
		switch cookie {
		case "ann.1", "revoked.1":
			return feed.SessionAnswer{Valid: true, User: "ann", Role: "buyer"}, nil
		case "bob.1":
			return feed.SessionAnswer{Valid: true, User: "bob", Role: "buyer"}, nil
		case "down.1":
			return feed.SessionAnswer{}, errors.New("the validator is down")
		}
		return feed.SessionAnswer{}, nil
	})
	e := revocation.Entry{Seq: 1, Kind: revocation.Legacy, Value: revocation.LegacyHash("revoked.1"), Expires: time.Now().Add(time.Hour)}
	check(t, w.feed.list.Apply(e))
	return w
}

// legacyWant tells a second time what comes of token and session of a user, as the sentences of the design.
func legacyWant(stage, jwt, session string) string {
	const (
		byToken, bySession = "200 jwt", "200 session"
	)
	asked := stage == "migrating" || stage == "deprecated"
	switch jwt {
	case "invalid":
		return "401 invalid_token"
	case "revoked":
		return "401 revoked"
	case "valid":
		// JWT only after the sunset; what a brownout refuses is no second credential either.
		switch {
		case session == "another's" && asked:
			return "401 invalid_request"
		case session == "two" && stage != "sunset":
			return "401 invalid_request"
		}
		return byToken
	}
	switch {
	case session == "none":
		return map[string]string{"absent": "401 no_credential", "foreign": "401 invalid_token", "expired": "401 expired"}[jwt]
	case session == "two" && stage != "sunset":
		return "401 invalid_request"
	case session == "unavailable" && asked:
		return "503 legacy_unavailable"
	case asked && (session == "good" || session == "another's"):
		return bySession
	case jwt == "expired":
		return "401 expired"
	case stage == "sunset":
		return "401 legacy_session_sunset"
	case session == "malformed":
		return "401 legacy_session_invalid"
	case stage == "brownout":
		return "401 legacy_session_brownout"
	case session == "revoked":
		return "401 revoked"
	}
	return "401 legacy_session_invalid"
}

// The table of docs/design.md, section 6, at the edge: stage × cohort × token × session, over both protocols.
func TestLegacyTable(t *testing.T) {
	rows := 0
	key := signingKeys()[0]
	for stage, change := range stages {
		w := newLegacyWorld(t, change)
		// Who has a token waits shortly for what a session is worth, less than a busy machine may take: it is known here.
		asked := time.Now()
		w.sessions.now = func() time.Time { return asked }
		for _, known := range []string{"ann.1", "bob.1"} {
			w.decide(t.Context(), byCookie(known))
		}
		on, _ := w.serve(t, Drain{})
		proxy := newEnvoy(t, on.GRPC.Addr().String())
		check(t, w.feed.list.Apply(revocation.Entry{Seq: 2, Kind: revocation.Session, Value: "over", Expires: time.Now().Add(time.Hour)}))
		for _, user := range []string{"ann", "bob"} { // in the cohort, not in it
			other := map[string]string{"ann": "bob", "bob": "ann"}[user]
			of := func(c *token.Claims) { c.Subject = user }
			tokens := map[string]string{
				"absent": "", "valid": mint(t, key, of), "expired": mint(t, key, of, expired), "invalid": mint(t, signingKeys()[1], of),
				"foreign": mint(t, key, of, func(c *token.Claims) { c.Issuer = "https://else.example.test" }),
				"revoked": mint(t, key, of, func(c *token.Claims) { c.SessionID = "over" }),
			}
			sessions := map[string]string{
				"none": "theme=dark", "good": legacyName + "=" + user + ".1", "another's": "theme=dark; " + legacyName + "=" + other + ".1", "over": legacyName + "=over.1",
				"revoked": legacyName + "=revoked.1", "unavailable": legacyName + "=down.1",
				"two": legacyName + "=ann.1; " + legacyName + "=ann.1", "malformed": legacyName + "=a b",
			}
			for outcome, raw := range tokens {
				for session, cookie := range sessions {
					for _, place := range []string{"header", "cookie"} {
						rows++
						var headers []header
						line := cookie
						switch {
						case raw == "":
						case place == "header":
							headers = append(headers, bearer(raw))
						default:
							line += "; " + accessCookie + raw
						}
						headers = append(headers, header{"Cookie", line})
						want := legacyWant(stage, outcome, session)
						name := fmt.Sprintf("%s, %s, %s token in the %s, session %s", stage, user, outcome, place, session)
						r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest("", func(h *[]header) { *h = append(*h, headers...) }))
						got := fmt.Sprint(r.StatusCode, " ", r.Header.Get(HeaderCode)+r.Header.Get("X-Auth-Method"))
						if got != want {
							t.Errorf("%s, by nginx: %s, want %s", name, got, want)
						}
						announced := r.Header.Get("Deprecation") + "|" + r.Header.Get("Sunset") + "|" + r.Header.Get("Link")
						if bySession := want == "200 session"; bySession && stage == "deprecated" != (announced == "@1767323045|Tue, 01 Jan 2199 00:00:00 GMT|"+
							`<https://example.test/move>; rel="deprecation", <https://example.test/move>; rel="sunset"`) || !bySession && r.StatusCode == 200 && announced != "||" {
							t.Errorf("%s: announced %s", name, announced)
						}
						if want == "401 legacy_session_brownout" && r.Header.Get("Deprecation") == "" || stage == "migrating" && announced != "||" {
							t.Errorf("%s: announced %s", name, announced)
						}
						e := proxy.send(t, get(headers...))
						got = fmt.Sprint(e.status, " ", e.headers["X-Keyturn-Code"])
						seen := ""
						if e.status == 200 {
							got, seen = "200 "+e.upstream["x-auth-method"][0], e.upstream["x-auth-user"][0]
						}
						wantUser := map[bool]string{true: user}[want == "200 jwt" || want == "200 session" && session == "good"]
						if want == "200 session" && session == "another's" {
							wantUser = other
						}
						if got != want || seen != wantUser || r.Header.Get("X-Auth-User") != wantUser {
							t.Errorf("%s, by Envoy: %s for %q, want %s for %q", name, got, seen, want, wantUser)
						}
					}
				}
			}
		}
	}
	if rows != 4*2*6*8*2 {
		t.Errorf("%d rows", rows)
	}
}
