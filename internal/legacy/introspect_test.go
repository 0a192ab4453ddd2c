package legacy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

const canary = "canary-4711"

func TestIntrospectionAnswers(t *testing.T) {
	good := `{"active":true,"user_id":"4711","role":"admin","claims":{"team":"blue"},"expires":253402300799}`
	full := Session{User: "shop:4711", Role: "admin", Claims: map[string]string{"team": "blue"}, Expires: time.Unix(253402300799, 0).UTC()}
	bare := Session{User: "shop:4711"}
	active := func(rest string) string { return `{"active":true,` + rest + `}` }
	claims := map[string]string{}
	for i := range 33 {
		claims[fmt.Sprint("c", i)] = "v"
	}
	many, _ := json.Marshal(claims)
	tests := []struct {
		name        string
		status      int
		contentType string
		body        string
		want        Session
		err         error
	}{
		{"all of it", 200, jsonType, good, full, nil},
		{"with a charset", 200, "application/json; charset=utf-8", good, full, nil},
		{"only the user", 200, jsonType, active(`"user_id":"4711"`), bare, nil},
		{"empty role", 200, jsonType, active(`"user_id":"4711","role":""`), bare, nil},
		{"no session", 200, jsonType, `{"active":false}`, Session{}, ErrInvalid},
		{"no session, and who it was", 200, jsonType, `{"active":false,"user_id":"4711","expires":1}`, Session{}, ErrInvalid},
		{"expired", 200, jsonType, active(`"user_id":"4711","expires":1000000000`), Session{}, ErrInvalid},
		{"201", 201, jsonType, good, Session{}, ErrUnavailable},
		{"204", 204, "", "", Session{}, ErrUnavailable},
		{"400", 400, jsonType, `{"active":false}`, Session{}, ErrUnavailable},
		{"401", 401, jsonType, `{"active":false}`, Session{}, ErrUnavailable},
		{"403", 403, jsonType, `{"active":false}`, Session{}, ErrUnavailable},
		{"404", 404, jsonType, `{"active":false}`, Session{}, ErrUnavailable},
		{"404, a page", 404, "text/html", "<h1>no", Session{}, ErrUnavailable},
		{"410", 410, "", "", Session{}, ErrUnavailable},
		{"429", 429, jsonType, "{}", Session{}, ErrUnavailable},
		{"500", 500, jsonType, good, Session{}, ErrUnavailable},
		{"502 with a refusal", 502, jsonType, `{"active":false}`, Session{}, ErrUnavailable},
		{"503", 503, "text/html", "down", Session{}, ErrUnavailable},
		{"no type", 200, "", good, Session{}, ErrUnavailable},
		{"refusal as text", 200, "text/plain", `{"active":false}`, Session{}, ErrUnavailable},
		{"login page", 200, "text/html", "<form>", Session{}, ErrUnavailable},
		{"empty", 200, jsonType, "", Session{}, ErrUnavailable},
		{"empty object", 200, jsonType, "{}", Session{}, ErrUnavailable},
		{"null", 200, jsonType, "null", Session{}, ErrUnavailable},
		{"list", 200, jsonType, `[{"active":false}]`, Session{}, ErrUnavailable},
		{"twice", 200, jsonType, `{"active":false}{"active":false}`, Session{}, ErrUnavailable},
		{"cut", 200, jsonType, good[:20], Session{}, ErrUnavailable},
		{"huge", 200, jsonType, active(`"user_id":"` + strings.Repeat("x", webhook.MaxAnswer) + `"`), Session{}, ErrUnavailable},
		{"refusal with much space", 200, jsonType, `{"active":false}` + strings.Repeat(" ", webhook.MaxAnswer), Session{}, ErrUnavailable},
		{"deep", 200, jsonType, strings.Repeat(`{"active":`, 500) + "1" + strings.Repeat("}", 500), Session{}, ErrUnavailable},
		{"active as text", 200, jsonType, `{"active":"false"}`, Session{}, ErrUnavailable},
		{"active as number", 200, jsonType, `{"active":0}`, Session{}, ErrUnavailable},
		{"active null", 200, jsonType, `{"active":null}`, Session{}, ErrUnavailable},
		{"active missing", 200, jsonType, `{"user_id":"4711"}`, Session{}, ErrUnavailable},
		{"active twice", 200, jsonType, `{"active":true,"active":false}`, Session{}, ErrUnavailable},
		{"Active", 200, jsonType, `{"Active":false}`, Session{}, ErrUnavailable},
		{"unknown member", 200, jsonType, active(`"user_id":"4711","roles":["admin"]`), Session{}, ErrUnavailable},
		{"misspelt member", 200, jsonType, active(`"user_id":"4711","Role":"admin"`), Session{}, ErrUnavailable},
		{"user twice", 200, jsonType, active(`"user_id":"4711","user_id":"root"`), Session{}, ErrUnavailable},
		{"no user", 200, jsonType, `{"active":true}`, Session{}, ErrUnavailable},
		{"user of a number", 200, jsonType, active(`"user_id":4711`), Session{}, ErrUnavailable},
		{"user null", 200, jsonType, active(`"user_id":null`), Session{}, ErrUnavailable},
		{"user empty", 200, jsonType, active(`"user_id":""`), Session{}, ErrUnavailable},
		{"user long", 200, jsonType, active(`"user_id":"` + strings.Repeat("a", 257) + `"`), Session{}, ErrUnavailable},
		{"user with a line break", 200, jsonType, active(`"user_id":"a\r\nX-Auth-Role: admin"`), Session{}, ErrUnavailable},
		{"user with NUL", 200, jsonType, active(`"user_id":"a\u0000"`), Session{}, ErrUnavailable},
		{"user not in normal form", 200, jsonType, active(`"user_id":"ａlice"`), Session{}, ErrUnavailable},
		{"user with a lone surrogate", 200, jsonType, active(`"user_id":"a\ud800"`), Session{}, ErrUnavailable},
		{"user that is invisible", 200, jsonType, active(`"user_id":"a\u200b"`), Session{}, ErrUnavailable},
		{"role of a list", 200, jsonType, active(`"user_id":"4711","role":["admin"]`), Session{}, ErrUnavailable},
		{"role with a space", 200, jsonType, active(`"user_id":"4711","role":"super user"`), Session{}, ErrUnavailable},
		{"role long", 200, jsonType, active(`"user_id":"4711","role":"` + strings.Repeat("a", 65) + `"`), Session{}, ErrUnavailable},
		{"role null", 200, jsonType, active(`"user_id":"4711","role":null`), Session{}, ErrUnavailable},
		{"claim of the protocol", 200, jsonType, active(`"user_id":"4711","claims":{"exp":"1"}`), Session{}, ErrUnavailable},
		{"claim role", 200, jsonType, active(`"user_id":"4711","claims":{"Role":"root"}`), Session{}, ErrUnavailable},
		{"claim of a number", 200, jsonType, active(`"user_id":"4711","claims":{"a":1}`), Session{}, ErrUnavailable},
		{"claim with a line break", 200, jsonType, active(`"user_id":"4711","claims":{"a":"\n"}`), Session{}, ErrUnavailable},
		{"33 claims", 200, jsonType, active(`"user_id":"4711","claims":` + string(many)), Session{}, ErrUnavailable},
		{"expires as text", 200, jsonType, active(`"user_id":"4711","expires":"2099-01-01T00:00:00Z"`), Session{}, ErrUnavailable},
		{"expires in parts", 200, jsonType, active(`"user_id":"4711","expires":4070908800.5`), Session{}, ErrUnavailable},
		{"expires below 0", 200, jsonType, active(`"user_id":"4711","expires":-1`), Session{}, ErrUnavailable},
		{"expires 0", 200, jsonType, active(`"user_id":"4711","expires":0`), Session{}, ErrUnavailable},
		{"expires in milliseconds", 200, jsonType, active(`"user_id":"4711","expires":4070908800000`), Session{}, ErrUnavailable},
		{"expires null", 200, jsonType, active(`"user_id":"4711","expires":null`), Session{}, ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.source(t, byHTTP(serve(t, answering(test.status, test.contentType, test.body))))
			got, err := s.Validate(t.Context(), text(canary))
			refusal(t, err, test.err, canary)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			if strings.Contains(w.log.String(), canary) {
				t.Errorf("the cookie is in the log: %s", w.log)
			}
		})
	}
}

func TestIntrospectionQuestion(t *testing.T) {
	w := newWorld(t)
	var asked []string
	s := w.source(t, byHTTP(serve(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.Join([]string{r.Method, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(body)}, " "))
		answering(200, jsonType, `{"active":true,"user_id":"u"}`)(rw, r)
	})))
	for _, token := range []string{"", "one\n", "two", "canary with spaces"} {
		if token != "" {
			w.file(t, "validator/token", token)
		}
		w.clock.advance(time.Minute)
		if _, err := s.Validate(t.Context(), text(`s%3Aa"b<c`)); err != nil {
			t.Fatal(err)
		}
	}
	question := `{"session":"s%3Aa\"b\u003cc"}`
	want := []string{"POST application/json  " + question, "POST application/json Bearer one " + question, "POST application/json Bearer two " + question, "POST application/json Bearer two " + question}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
	if log := w.log.String(); !strings.Contains(log, "legacy_credentials_refused") || strings.Contains(log, "canary") {
		t.Errorf("log %s", log)
	}
}

func TestImplausibleCookiesAreNotAsked(t *testing.T) {
	var asked atomic.Int32
	s := newWorld(t).source(t, byHTTP(serve(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answering(200, jsonType, `{"active":true,"user_id":"u"}`)(rw, r)
	})))
	for _, cookie := range []string{"", strings.Repeat("a", MaxCookieBytes+1), "a\nb", "a\x00", "a;b", "a\x7f", "ä"} {
		_, err := s.Validate(t.Context(), text(cookie))
		refusal(t, err, ErrInvalid)
	}
	if _, err := s.Validate(t.Context(), text(strings.Repeat("a", MaxCookieBytes))); err != nil || asked.Load() != 1 {
		t.Errorf("the longest cookie: %v, asked %d times", err, asked.Load())
	}
}

func TestNoRedirect(t *testing.T) {
	var followed atomic.Int32
	for _, status := range []int{301, 302, 303, 307, 308} {
		target := serve(t, func(rw http.ResponseWriter, r *http.Request) {
			followed.Add(1)
			answering(200, jsonType, `{"active":false}`)(rw, r)
		})
		_, err := newWorld(t).source(t, byHTTP(serve(t, answering(status, jsonType, "{}", "Location", target)))).Validate(t.Context(), text(canary))
		refusal(t, err, ErrUnavailable, canary)
	}
	if followed.Load() > 0 {
		t.Errorf("%d cookies were sent on", followed.Load())
	}
}

func TestSlowValidator(t *testing.T) {
	release := make(chan struct{})
	config := byHTTP(serve(t, func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release) })
	config.Validator.HTTP.Timeout = snapshot.Duration(50 * time.Millisecond)
	begun := time.Now()
	_, err := newWorld(t).source(t, config).Validate(t.Context(), text(canary))
	refusal(t, err, ErrUnavailable, canary)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// tripper answers without a network, so that time can be stepped.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func pass(d time.Duration) { <-time.After(d) }

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{clock: &stepped{now: time.Now()}, log: &logged{}}
		w.Keeper = NewKeeper(t.TempDir(), slogTo(w.log), w.clock.Now)
		s := w.source(t, byHTTP("http://localhost:1"))
		status, body, asked := 500, `{"active":true,"user_id":"u"}`, 0
		files := webhook.Fixed(&http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
			asked++
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {jsonType}}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})})
		s.validator.reader = &introspection{webhook.NewEndpoint("http://localhost:1", time.Second, files, failures("the legacy validator"), w.Keeper.log)}
		n := 0
		validate := func(want error, wantAsked int) {
			t.Helper()
			n++ // another cookie each time: the cache is not what is tested
			_, err := s.Validate(t.Context(), text(fmt.Sprint("cookie", n)))
			refusal(t, err, want)
			if asked != wantAsked {
				t.Fatalf("asked %d times, want %d", asked, wantAsked)
			}
		}
		for i := range webhook.BreakAfter - 1 {
			validate(ErrUnavailable, i+1)
		}
		status, body = 200, `{"active":false}`
		validate(ErrInvalid, 5) // an answer: the count begins again
		body = `{"active":true,"user_id":"\n"}`
		for i := range 2 * webhook.BreakAfter { // one user's misfortune, however often
			validate(ErrUnavailable, 6+i)
		}
		status = 500
		for i := range webhook.BreakAfter {
			validate(ErrUnavailable, 16+i)
		}
		validate(ErrUnavailable, 20) // open: not asked, and nobody is logged out
		pass(webhook.BreakFor + time.Millisecond)
		validate(ErrUnavailable, 21) // one question decides: it stays open
		validate(ErrUnavailable, 21)
		status, body = 200, `{"active":true,"user_id":"u"}`
		pass(webhook.BreakFor + time.Millisecond)
		validate(nil, 22)
		validate(nil, 23)
		if log := w.log.String(); strings.Count(log, "legacy_breaker") != 5 {
			t.Errorf("the log does not tell the story: %s", log)
		}
	})
}
