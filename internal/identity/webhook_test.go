package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

// stepped is a clock that a test moves.
type stepped struct {
	mu  sync.Mutex
	now time.Time
}

func (c *stepped) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *stepped) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// hooked is a directory with a webhook.
type hooked struct {
	*Directory
	sources *Sources
	clock   *stepped
	dir     string
	log     *bytes.Buffer
}

func webhookSource(name, base string) snapshot.IdentitySource {
	return snapshot.IdentitySource{Name: name, SubjectPrefix: name + ":", Webhook: &snapshot.Webhook{
		LoginURL: base + "/login", LookupURL: base + "/lookup", Timeout: snapshot.Duration(10 * time.Second)}}
}

func hook(t testing.TB, configured ...snapshot.IdentitySource) *hooked {
	t.Helper()
	h := &hooked{clock: &stepped{now: testNow}, dir: t.TempDir(), log: &bytes.Buffer{}}
	h.sources = NewSources(h.dir, slog.New(slog.NewJSONHandler(h.log, nil)), h.clock.Now)
	d, err := New(ourIssuer, configured, h.sources, NewHasher(2, 100))
	if err != nil {
		t.Fatal(err)
	}
	h.Directory = d
	return h
}

func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// answering answers everything alike.
func answering(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil // do not guess it
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const jsonType = "application/json"

func TestWebhookAnswers(t *testing.T) {
	good := `{"user_id":"u-1","role":"admin","claims":{"team":"blue"}}`
	full := User{Subject: "app:u-1", Name: "u-1", Role: "admin", Source: "app", Claims: map[string]string{"team": "blue"}, Refreshable: true}
	bare := User{Subject: "app:u-1", Name: "u-1", Source: "app", Refreshable: true}
	many := func(n int) string {
		all := map[string]string{}
		for i := range n {
			all[fmt.Sprintf("c%d", i)] = "v"
		}
		raw, _ := json.Marshal(map[string]any{"user_id": "u-1", "claims": all})
		return string(raw)
	}
	tests := []struct {
		name        string
		status      int
		contentType string
		body        string
		want        User
		err         error // of a login
		lookup      error
	}{
		{"right", 200, jsonType, good, full, nil, nil},
		{"right with a charset", 200, "application/json; charset=utf-8", good, full, nil, nil},
		{"right and bare", 200, jsonType, ` {"user_id":"u-1"} `, bare, nil, nil},
		{"empty role", 200, jsonType, `{"user_id":"u-1","role":""}`, bare, nil, nil},
		{"wrong password", 401, jsonType, `{}`, User{}, ErrDenied, ErrUnavailable},
		{"wrong password, no body", 401, "", "", User{}, ErrDenied, ErrUnavailable},
		{"wrong password, a page", 401, "text/html", "<h1>no", User{}, ErrDenied, ErrUnavailable},
		{"locked", 403, "", "", User{}, ErrDenied, ErrUnavailable},
		{"unknown", 404, "", "", User{}, ErrDenied, ErrGone}, // no next source here
		{"unknown in JSON", 404, jsonType, `{"error":"unknown"}`, User{}, ErrDenied, ErrGone},
		{"a proxy's page for an unknown path", 404, "text/html", "<h1>404", User{}, ErrUnavailable, ErrUnavailable},
		{"a router's line for an unknown path", 404, "text/plain; charset=utf-8", "404 page not found\n", User{}, ErrUnavailable, ErrUnavailable},
		{"a body without a type", 404, "", "not found", User{}, ErrUnavailable, ErrUnavailable},
		{"gone", 410, "", "", User{}, ErrUnavailable, ErrGone},
		{"gone in a page", 410, "text/html", "x", User{}, ErrUnavailable, ErrUnavailable},
		{"201", 201, jsonType, good, User{}, ErrUnavailable, ErrUnavailable},
		{"204", 204, "", "", User{}, ErrUnavailable, ErrUnavailable},
		{"400", 400, jsonType, "{}", User{}, ErrUnavailable, ErrUnavailable},
		{"405", 405, jsonType, "{}", User{}, ErrUnavailable, ErrUnavailable},
		{"429", 429, jsonType, "{}", User{}, ErrUnavailable, ErrUnavailable},
		{"500", 500, jsonType, good, User{}, ErrUnavailable, ErrUnavailable},
		{"503", 503, "text/html", "down", User{}, ErrUnavailable, ErrUnavailable},
		{"no type", 200, "", good, User{}, ErrUnavailable, ErrUnavailable},
		{"text", 200, "text/plain", good, User{}, ErrUnavailable, ErrUnavailable},
		{"HTML", 200, "text/html", "<html>", User{}, ErrUnavailable, ErrUnavailable},
		{"empty", 200, jsonType, "", User{}, ErrUnavailable, ErrUnavailable},
		{"empty object", 200, jsonType, "{}", User{}, ErrUnavailable, ErrUnavailable},
		{"null", 200, jsonType, "null", User{}, ErrUnavailable, ErrUnavailable},
		{"list", 200, jsonType, "[" + good + "]", User{}, ErrUnavailable, ErrUnavailable},
		{"two objects", 200, jsonType, good + good, User{}, ErrUnavailable, ErrUnavailable},
		{"cut", 200, jsonType, good[:20], User{}, ErrUnavailable, ErrUnavailable},
		{"huge", 200, jsonType, `{"user_id":"u-1","role":"` + strings.Repeat("x", webhook.MaxAnswer) + `"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"huge with spaces", 200, jsonType, good + strings.Repeat(" ", webhook.MaxAnswer), User{}, ErrUnavailable, ErrUnavailable},
		{"deep", 200, jsonType, strings.Repeat(`{"user_id":`, 500) + "1" + strings.Repeat("}", 500), User{}, ErrUnavailable, ErrUnavailable},
		{"unknown member", 200, jsonType, `{"user_id":"u-1","roles":["admin"]}`, User{}, ErrUnavailable, ErrUnavailable},
		{"misspelt member", 200, jsonType, `{"user_id":"u-1","Role":"admin"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"duplicate member", 200, jsonType, `{"user_id":"u-1","user_id":"root"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"duplicate claim", 200, jsonType, `{"user_id":"u-1","claims":{"a":"1","a":"2"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id of a number", 200, jsonType, `{"user_id":1}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id null", 200, jsonType, `{"user_id":null}`, User{}, ErrUnavailable, ErrUnavailable},
		{"empty user_id", 200, jsonType, `{"user_id":""}`, User{}, ErrUnavailable, ErrUnavailable},
		{"long user_id", 200, jsonType, `{"user_id":"` + strings.Repeat("a", 257) + `"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id with a line break", 200, jsonType, `{"user_id":"a\r\nX-Auth-Role: admin"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id with NUL", 200, jsonType, `{"user_id":"a\u0000"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id not in normal form", 200, jsonType, `{"user_id":"ａlice"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id with a lone surrogate", 200, jsonType, `{"user_id":"a\ud800"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"user_id with a space before", 200, jsonType, `{"user_id":" a"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"role of a list", 200, jsonType, `{"user_id":"u-1","role":["admin"]}`, User{}, ErrUnavailable, ErrUnavailable},
		{"role null", 200, jsonType, `{"user_id":"u-1","role":null}`, User{}, ErrUnavailable, ErrUnavailable},
		{"role with a space", 200, jsonType, `{"user_id":"u-1","role":"super user"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"long role", 200, jsonType, `{"user_id":"u-1","role":"` + strings.Repeat("a", 65) + `"}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claims of a list", 200, jsonType, `{"user_id":"u-1","claims":[]}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claim of a number", 200, jsonType, `{"user_id":"u-1","claims":{"a":1}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claim of the protocol", 200, jsonType, `{"user_id":"u-1","claims":{"exp":"1"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claim of the protocol in capitals", 200, jsonType, `{"user_id":"u-1","claims":{"SUB":"1"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claim role", 200, jsonType, `{"user_id":"u-1","claims":{"role":"root"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claim user_id", 200, jsonType, `{"user_id":"u-1","claims":{"user_id":"root"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"claim with a space in its name", 200, jsonType, `{"user_id":"u-1","claims":{"a b":"1"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"long claim", 200, jsonType, `{"user_id":"u-1","claims":{"a":"` + strings.Repeat("x", 257) + `"}}`, User{}, ErrUnavailable, ErrUnavailable},
		{"33 claims", 200, jsonType, many(33), User{}, ErrUnavailable, ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := hook(t, webhookSource("app", serve(t, answering(test.status, test.contentType, test.body))))
			got, err := h.Authenticate(t.Context(), "alice", secret.NewText("canary-password"))
			if !errors.Is(err, test.err) || !reflect.DeepEqual(got, test.want) {
				t.Errorf("login: %+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
			if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(h.log.String(), "canary")) {
				t.Errorf("the password got out: %v %s", err, h.log)
			}
			got, err = h.Lookup(t.Context(), User{Subject: "app:u-1", Name: "u-1", Source: "app"})
			if !errors.Is(err, test.lookup) || !reflect.DeepEqual(got, test.want) {
				t.Errorf("lookup: %+v, %v; want %+v, %v", got, err, test.want, test.lookup)
			}
		})
	}
	h := hook(t, webhookSource("app", serve(t, answering(200, jsonType, many(32)))))
	if u, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); err != nil || len(u.Claims) != 32 {
		t.Errorf("32 claims: %+v, %v", u, err)
	}
	if _, err := h.Lookup(t.Context(), User{Subject: "app:u-2", Name: "u-2", Source: "app"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an answer about another user: %v", err)
	}
}

// The webhook refuses our token, not the user's password: nobody is told that it is wrong.
func TestWebhookRefusesUs(t *testing.T) {
	for _, status := range []int{401, 403} {
		h := hook(t, webhookSource("app", serve(t, answering(status, "", "", "WWW-Authenticate", `Bearer error="invalid_token"`))))
		if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "token of this source") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestWebhookQuestion(t *testing.T) {
	var asked []string
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), body))
		answering(200, jsonType, `{"user_id":"u-1"}`)(w, r)
	})
	source := webhookSource("app", base)
	source.Webhook.LoginURL += "?tenant=a"
	h := hook(t, source)
	ask := func() {
		t.Helper()
		if _, err := h.Authenticate(t.Context(), "ａlice", secret.NewText(`p"<`)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Lookup(t.Context(), User{Subject: "app:u-1", Name: "u-1", Source: "app"}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	write(t, h.dir, "app/token", "one\n")
	ask() // within a second nobody looks
	h.clock.advance(time.Second)
	ask()
	write(t, h.dir, "app/token", "two")
	h.clock.advance(time.Second)
	ask()
	write(t, h.dir, "app/token", "canary with spaces")
	h.clock.advance(time.Second)
	ask() // the old one stays
	question, lookup := `application/json %s{"username":"alice","password":"p\"\u003c"}`, `application/json %s{"user_id":"u-1"}`
	var want []string
	for _, token := range []string{" ", " ", "Bearer one ", "Bearer two ", "Bearer two "} {
		want = append(want, "POST /login?tenant=a "+fmt.Sprintf(question, token), "POST /lookup "+fmt.Sprintf(lookup, token))
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
	if log := h.log.String(); !strings.Contains(log, "identity_credentials_refused") || strings.Contains(log, "canary") {
		t.Errorf("log %s", log)
	}
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

func TestWebhookTLS(t *testing.T) {
	server := httptest.NewTLSServer(answering(200, jsonType, `{"user_id":"u-1"}`))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	other := httptest.NewTLSServer(nil)
	defer other.Close()
	h := hook(t, webhookSource("app", server.URL))
	login := func() error {
		h.clock.advance(time.Second)
		_, err := h.Authenticate(t.Context(), "alice", secret.NewText("x"))
		return err
	}
	if err := login(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an authority that the system does not know: %v", err)
	}
	write(t, h.dir, "app/ca.crt", "garbage")
	if err := login(); err == nil {
		t.Error("a ca.crt that is none: accepted")
	}
	write(t, h.dir, "app/ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: strangerCertificate(t)})))
	if err := login(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another authority: %v", err)
	}
	write(t, h.dir, "app/ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if err := login(); err != nil {
		t.Errorf("the right authority: %v", err)
	}
	write(t, h.dir, "app/tls.crt", "x")
	if err := login(); err != nil {
		t.Errorf("a client certificate without its key must not take the good state away: %v", err)
	}
}

func TestWebhookRedirect(t *testing.T) {
	var followed atomic.Int32
	for _, status := range []int{301, 302, 303, 307, 308} {
		target := serve(t, func(w http.ResponseWriter, r *http.Request) {
			followed.Add(1)
			answering(200, jsonType, `{"user_id":"u-1"}`)(w, r)
		})
		h := hook(t, webhookSource("app", serve(t, answering(status, jsonType, "{}", "Location", target+"/login"))))
		if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if followed.Load() > 0 {
		t.Errorf("%d passwords were sent on", followed.Load())
	}
}

func TestWebhookSlow(t *testing.T) {
	release := make(chan struct{})
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/lookup") { // headers at once, the body never
			w.Header().Set("Content-Type", jsonType)
			_, _ = io.WriteString(w, `{"user_id":`)
			w.(http.Flusher).Flush()
		}
		<-release
	})
	t.Cleanup(func() { close(release) })
	source := webhookSource("app", base)
	source.Webhook.Timeout = snapshot.Duration(50 * time.Millisecond)
	h := hook(t, source)
	begun := time.Now()
	if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no answer: %v", err)
	}
	if _, err := h.Lookup(t.Context(), User{Subject: "app:u-1", Name: "u-1", Source: "app"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("half an answer: %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	// Who goes away says nothing about the endpoint, however often.
	for range 2 * webhook.BreakAfter {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Authenticate(gone, "alice", secret.NewText("x")); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Fatalf("a client that went away: %v", err)
		}
	}
}

func TestWebhookBusy(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, webhook.MaxInFlight)
	h := hook(t, webhookSource("app", serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		answering(200, jsonType, `{"user_id":"u-1"}`)(w, r)
	})))
	var all sync.WaitGroup
	for range webhook.MaxInFlight {
		all.Go(func() {
			if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); err != nil {
				t.Error(err)
			}
		})
	}
	for range webhook.MaxInFlight {
		<-arrived
	}
	if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	close(release)
	all.Wait()
	if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// tripper answers without a network, so that time can be stepped.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWebhookBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status, asked := 500, 0
		source := webhookSource("app", "http://localhost:1")
		h := hook(t, source)
		files := stubbed(func(*http.Request) (*http.Response, error) {
			asked++
			response := recorded(`{"user_id":"u-1"}`)
			response.StatusCode = status
			return response, nil
		})
		h.entries[0].source.(*application).login = newEndpoint(source.Webhook.LoginURL, webhook.DefaultTimeout, files, h.sources.log)
		login := func(want error, wantAsked int) {
			t.Helper()
			if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, want) || asked != wantAsked {
				t.Fatalf("%v, asked %d times; want %v, %d", err, asked, want, wantAsked)
			}
		}
		for i := range webhook.BreakAfter - 1 {
			login(ErrUnavailable, i+1)
		}
		status = 401
		login(ErrDenied, webhook.BreakAfter) // an answer: the count begins again
		status = 500
		for i := range webhook.BreakAfter {
			login(ErrUnavailable, webhook.BreakAfter+i+1)
			if i == 2 { // who goes away neither counts nor makes the count begin again
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := h.Authenticate(gone, "alice", secret.NewText("x")); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				asked = webhook.BreakAfter + i + 1
			}
		}
		login(ErrUnavailable, 2*webhook.BreakAfter) // open: not asked
		pass(webhook.BreakFor)
		login(ErrUnavailable, 2*webhook.BreakAfter)
		pass(time.Millisecond)
		login(ErrUnavailable, 2*webhook.BreakAfter+1) // one question decides: it stays open
		login(ErrUnavailable, 2*webhook.BreakAfter+1)
		status = 200
		pass(webhook.BreakFor + time.Millisecond)
		login(nil, 2*webhook.BreakAfter+2)
		login(nil, 2*webhook.BreakAfter+3)
		if log := h.log.String(); strings.Count(log, "identity_webhook_breaker") != 5 {
			t.Errorf("the log does not tell the story: %s", log)
		}
	})
}

// What the application says about one user, and cannot be taken, is that user's misfortune: it opens no breaker, or who
// can choose a display name could stop the logins of all.
func TestOneUsersAnswerOpensNoBreaker(t *testing.T) {
	for _, body := range []string{
		`{"user_id":"u-1","claims":{"name":"two\nlines"}}`, `{"user_id":"u-1","claims":{"name":"` + strings.Repeat("x", MaxClaimBytes+1) + `"}}`,
		`{"user_id":"u-1","role":"two words"}`, `{"user_id":" "}`, `{"user_id":"u-1","claims":{"name":"\ud83d"}}`, `{"user_id":"u-3","role":""}`,
	} {
		another := strings.Contains(body, "u-3") // a good user, but not the one of the lookup
		h := hook(t, webhookSource("app", serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked, _ := io.ReadAll(r.Body)
			if strings.Contains(string(asked), "alice") || strings.Contains(string(asked), "u-2") {
				answering(200, jsonType, `{"user_id":"u-2"}`)(w, r)
				return
			}
			answering(200, jsonType, body)(w, r)
		})))
		for range webhook.BreakAfter {
			if _, err := h.Authenticate(t.Context(), "mallory", secret.NewText("x")); errors.Is(err, ErrUnavailable) == another {
				t.Fatalf("%s: %v", body, err)
			}
			if _, err := h.Lookup(t.Context(), User{Subject: "app:u-1", Name: "u-1", Source: "app"}); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("%s: %v", body, err)
			}
		}
		if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); err != nil {
			t.Errorf("%s: the next user's login: %v", body, err)
		}
		if _, err := h.Lookup(t.Context(), User{Subject: "app:u-2", Name: "u-2", Source: "app"}); err != nil {
			t.Errorf("%s: the next user's refresh: %v", body, err)
		}
	}
}

// A stranger chooses the name: an application that finds it malformed, or has had enough of guesses at it, says nothing
// about the next user.
func TestOneNamesRefusalOpensNoBreaker(t *testing.T) {
	for _, status := range []int{400, 409, 422, 423, 429} {
		h := hook(t, webhookSource("app", serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked, _ := io.ReadAll(r.Body)
			if strings.Contains(string(asked), "alice") || strings.Contains(string(asked), "u-2") {
				answering(200, jsonType, `{"user_id":"u-2"}`)(w, r)
				return
			}
			answering(status, jsonType, `{}`)(w, r)
		})))
		for range webhook.BreakAfter {
			if _, err := h.Authenticate(t.Context(), "x", secret.NewText("x")); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrDenied) {
				t.Fatalf("%d: %v", status, err)
			}
			if _, err := h.Lookup(t.Context(), User{Subject: "app:u-1", Name: "u-1", Source: "app"}); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("%d: %v", status, err)
			}
		}
		if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); err != nil {
			t.Errorf("%d: the next user's login: %v", status, err)
		}
		if _, err := h.Lookup(t.Context(), User{Subject: "app:u-2", Name: "u-2", Source: "app"}); err != nil {
			t.Errorf("%d: the next user's refresh: %v", status, err)
		}
	}
}

func recorded(body string) *http.Response {
	recorder := httptest.NewRecorder()
	answering(200, jsonType, body)(recorder, nil)
	return recorder.Result()
}

// stubbed has no files and no network.
func stubbed(answer tripper) *webhook.Files {
	return webhook.Fixed(&http.Client{Transport: answer})
}

func TestWebhookConfiguration(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://app.example.com/login": true, "https://app.example.com:8443/a?b=c": true, "http://localhost:80/x": true, "http://127.0.0.1/x": true, "http://[::1]:1/x": true,
		"http://app.shop.svc/login": true, "http://app.shop.svc.cluster.local:8080/login": true,
		"": false, "http://app.example.com/login": false, "http://svc/login": false, "http://app.svc.example.com/": false, "http://127.0.0.1.example.com/": false,
		"ftp://localhost/": false, "https:///x": false, "https://u:p@app.example.com/": false, "https://app.example.com/#x": false, "app.example.com": false,
		"https:app.example.com": false, "file:///etc/passwd": false, "http://10.0.0.1/": false, "https://app.example.com/\x00": false,
	} {
		source := webhookSource("app", "https://x")
		source.Webhook.LoginURL = url
		_, err := New("", []snapshot.IdentitySource{source}, NewSources(t.TempDir(), slog.New(slog.DiscardHandler), time.Now), nil)
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("the error quotes a password: %v", err)
		}
	}
	bad := webhookSource("app", "https://x")
	bad.Webhook.Timeout = snapshot.Duration(time.Minute)
	if _, err := New("", []snapshot.IdentitySource{bad}, NewSources(t.TempDir(), slog.New(slog.DiscardHandler), time.Now), nil); err == nil {
		t.Error("a minute of waiting: accepted")
	}
	if _, err := New("", []snapshot.IdentitySource{webhookSource("app", "https://x")}, nil, nil); err == nil {
		t.Error("no place for connections: accepted")
	}
}

// pass lets time pass in a bubble, where nobody waits for it.
func pass(d time.Duration) { <-time.After(d) }
