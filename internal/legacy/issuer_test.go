package legacy

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

const goodCookie = "connect.sid=s%3Anew.sig; Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=Lax; Priority=High"

func withIssuer(validator, issuer string) snapshot.Legacy {
	c := byHTTP(validator)
	c.Issuer = &snapshot.LegacyWebhook{URL: issuer, Timeout: snapshot.Duration(10 * time.Second)}
	return c
}

func TestIssuerAnswers(t *testing.T) {
	long := "connect.sid=" + strings.Repeat("a", 4097) + "; Path=/; HttpOnly; Secure"
	attributes := func(a string) []string { return []string{"connect.sid=new; " + a} }
	tests := []struct {
		name    string
		status  int
		body    string
		cookies []string
		issue   error // of Issue
		extend  error
		life    time.Duration // -1: not known
	}{
		{"good", 200, "", []string{goodCookie}, nil, nil, 30 * time.Minute},
		{"201", 201, "", []string{goodCookie}, nil, nil, 30 * time.Minute},
		{"204", 204, "", []string{goodCookie}, nil, nil, 30 * time.Minute},
		{"a session cookie of the browser", 200, "", attributes("Path=/; HttpOnly; Secure"), nil, nil, -1},
		{"an end in the body", 200, `{"expires":4102444800}`, []string{goodCookie}, nil, nil, time.Until(time.Unix(4102444800, 0))},
		{"an empty object", 200, `{}`, []string{goodCookie}, nil, nil, 30 * time.Minute},
		{"an end of the cookie", 200, "", attributes("Path=/; HttpOnly; Secure; Expires=Fri, 01 Jan 2100 00:00:00 GMT"), nil, nil, time.Until(time.Unix(4102444800, 0))},
		{"a path", 200, "", attributes("Path=/shop; HttpOnly; Secure"), nil, nil, -1},
		{"a domain", 200, "", attributes("Domain=example.com; Path=/; HttpOnly; Secure"), nil, nil, -1},
		{"an attribute of tomorrow", 200, "", attributes("Path=/; HttpOnly; Secure; Partitioned; Tomorrow=1"), nil, nil, -1},
		{"another cookie beside it", 200, "", []string{"AWSALB=sticky; Path=/", goodCookie}, nil, nil, 30 * time.Minute},
		{"a token of ours beside it", 200, "", []string{"__Host-keyturn-access=evil; Path=/; HttpOnly; Secure", goodCookie}, nil, nil, 30 * time.Minute},
		{"no cookie", 200, "", nil, ErrUnavailable, nil, -1},
		{"another cookie only", 200, "", []string{"sid=x; Path=/; HttpOnly; Secure"}, ErrUnavailable, nil, -1},
		{"in capitals", 200, "", []string{"CONNECT.SID=x; Path=/; HttpOnly; Secure"}, ErrUnavailable, nil, -1},
		{"twice", 200, "", []string{goodCookie, goodCookie}, ErrUnavailable, ErrUnavailable, 0},
		{"for scripts", 200, "", attributes("Path=/; Secure"), ErrUnavailable, ErrUnavailable, 0},
		{"in clear text", 200, "", attributes("Path=/; HttpOnly"), ErrUnavailable, ErrUnavailable, 0},
		{"no path", 200, "", attributes("HttpOnly; Secure"), ErrUnavailable, ErrUnavailable, 0},
		{"a path that is none", 200, "", attributes("Path=shop; HttpOnly; Secure"), ErrUnavailable, ErrUnavailable, 0},
		{"removed", 200, "", attributes("Path=/; HttpOnly; Secure; Max-Age=0"), ErrUnavailable, ErrUnavailable, 0},
		{"removed by a date", 200, "", attributes("Path=/; HttpOnly; Secure; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), ErrUnavailable, ErrUnavailable, 0},
		{"empty", 200, "", []string{"connect.sid=; Path=/; HttpOnly; Secure"}, ErrUnavailable, ErrUnavailable, 0},
		{"long", 200, "", []string{long}, ErrUnavailable, ErrUnavailable, 0},
		{"long attributes", 200, "", attributes("Path=/; HttpOnly; Secure; X=" + strings.Repeat("a", 8192)), ErrUnavailable, ErrUnavailable, 0},
		{"not ASCII", 200, "", attributes("Path=/ä; HttpOnly; Secure"), ErrUnavailable, ErrUnavailable, 0},
		{"no cookie at all", 200, "", []string{"connect.sid"}, ErrUnavailable, ErrUnavailable, 0},
		{"over before it begins", 200, `{"expires":1}`, []string{goodCookie}, ErrUnavailable, ErrUnavailable, 0},
		{"another member", 200, `{"token":"x"}`, []string{goodCookie}, ErrUnavailable, ErrUnavailable, 0},
		{"not JSON", 200, `ok`, []string{goodCookie}, ErrUnavailable, ErrUnavailable, 0},
		{"gone", 410, "", nil, ErrUnavailable, ErrInvalid, 0},
		{"not found", 404, `{"error":"x"}`, nil, ErrUnavailable, ErrInvalid, 0},
		{"refused", 403, "", []string{goodCookie}, ErrUnavailable, ErrUnavailable, 0},
		{"redirect", 302, "", []string{goodCookie}, ErrUnavailable, ErrUnavailable, 0},
		{"500", 500, "", []string{goodCookie}, ErrUnavailable, ErrUnavailable, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var headers []string
			for _, c := range test.cookies {
				headers = append(headers, "Set-Cookie", c)
			}
			kind := jsonType
			if test.body == "" {
				kind = ""
			}
			w := newWorld(t)
			s := w.source(t, withIssuer(serve(t, answering(200, jsonType, `{"active":true,"user_id":"4711","role":"admin"}`)), serve(t, answering(test.status, kind, test.body, headers...))))
			check := func(what string, got Issued, err, want error) {
				t.Helper()
				refusal(t, err, want, "new", canary)
				if err != nil {
					return
				}
				if got.Session.User != "shop:4711" || got.Session.Role != "admin" {
					t.Errorf("%s: %+v", what, got.Session)
				}
				if left := got.Session.Expires.Sub(w.clock.Now()); (test.life < 0) != got.Session.Expires.IsZero() || test.life > 0 && (left-test.life).Abs() > 10*time.Second {
					t.Errorf("%s: it lives for %s", what, left)
				}
				for _, c := range got.Cookies {
					if c.Name != "connect.sid" || c.Raw != test.cookies[len(test.cookies)-1] {
						t.Errorf("%s: the cookie is not what the application wrote: %s", what, c.Raw)
					}
				}
				if what == "issue" && len(got.Cookies) != 1 {
					t.Errorf("%d cookies", len(got.Cookies))
				}
			}
			got, err := s.Issue(t.Context(), User{Subject: "shop:4711", Name: "alice", Role: "admin"})
			check("issue", got, err, test.issue)
			got, err = s.Extend(t.Context(), text(canary))
			check("extend", got, err, test.extend)
			if log := w.log.String(); strings.Contains(log, "new") || strings.Contains(log, "evil") || strings.Contains(log, canary) {
				t.Errorf("the log gives a cookie away: %s", log)
			}
		})
	}
}

func TestIssuerQuestions(t *testing.T) {
	var asked []string
	app := &counting{answer: `{"active":true,"user_id":"4711","role":"admin","claims":{"team":"blue"}}`}
	s := newWorld(t).source(t, withIssuer(serve(t, app.ServeHTTP), serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body))
		answering(200, "", "", "Set-Cookie", goodCookie)(w, r)
	})))
	if _, err := s.Issue(t.Context(), User{"shop:4711", "alice", "admin", map[string]string{"team": "blue"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Issue(t.Context(), User{Subject: "shop:4712"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Extend(t.Context(), text("old")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"user_id":"4711","name":"alice","role":"admin","claims":{"team":"blue"}}`,
		`{"user_id":"4712"}`,
		`{"user_id":"4711","role":"admin","claims":{"team":"blue"},"session":"old"}`,
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
	// An extended session is asked about again: its end is another.
	if _, err := s.Validate(t.Context(), text("old")); err != nil || app.asked.Load() != 2 {
		t.Errorf("%v, asked %d times", err, app.asked.Load())
	}
	for _, subject := range []string{"staff:4711", "4711", "shop:", ""} {
		if _, err := s.Issue(t.Context(), User{Subject: subject}); !errors.Is(err, ErrNoIssuer) {
			t.Errorf("%q: %v", subject, err)
		}
	}
	app.say(isNone)
	_, err := s.Extend(t.Context(), text("gone"))
	refusal(t, err, ErrInvalid)
	app.say("")
	_, err = s.Extend(t.Context(), text("who knows"))
	refusal(t, err, ErrUnavailable)
	if len(asked) != 3 {
		t.Errorf("asked\n%s", strings.Join(asked, "\n"))
	}
	none := newWorld(t).source(t, byHTTP(serve(t, app.ServeHTTP)))
	_, err1 := none.Issue(t.Context(), User{Subject: "shop:4711"})
	_, err2 := none.Extend(t.Context(), text("old"))
	if !errors.Is(err1, ErrNoIssuer) || !errors.Is(err2, ErrNoIssuer) {
		t.Errorf("%v, %v", err1, err2)
	}
}
