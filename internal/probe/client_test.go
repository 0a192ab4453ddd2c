package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ingress is one whose edge, where it asks one, knows the key and has a policy.
type ingress struct {
	key    Key
	policy string
	stance Stance
	// open lets requests by the edge: "probe", "garbage", "nothing".
	open string
	// application is what answers then; nil: 200.
	application http.HandlerFunc
	// refuse is how the edge refuses everything, if at all; carry what becomes of its answers.
	refuse func(http.ResponseWriter)
	carry  func(http.Header)
	seen   atomic.Int32 // requests of the application
	asked  atomic.Int32
}

func (i *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	raw, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	kind := "nothing"
	switch {
	case LooksLike(raw):
		kind = "probe"
	case has:
		kind = "garbage"
	}
	anonymous := kind == "nothing" && i.stance == Anonymous
	if i.open == kind || i.open == "all" || anonymous || kind != "probe" && (i.stance == Open || i.stance == Audits) {
		i.seen.Add(1)
		if i.application != nil {
			i.application(w, r)
			return
		}
		fmt.Fprint(w, "SECRET of the application")
		return
	}
	h := w.Header()
	h.Set("X-Keyturn-Decision", "0a1b2c-7")
	if i.refuse != nil {
		i.refuse(w)
		return
	}
	challenge := `Bearer realm="https://id"`
	if nonce, is := i.key.Read(raw, i.policy, time.Now()); is {
		challenge += ", " + i.key.Answer(nonce, i.policy, i.stance)
	}
	h.Set("WWW-Authenticate", challenge)
	h.Set("X-Keyturn-Code", "invalid_token")
	if i.carry != nil {
		i.carry(h)
	}
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, `{"code":"invalid_token"}`)
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, "SECRET")
	}
}

func refusal(code int, reason string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"code":%q,"detail":"SECRET"}`, reason)
	}
}

func askAt(t *testing.T, at string, key Key) Result {
	t.Helper()
	u, err := ParseURL(at)
	if err != nil {
		t.Fatal(err)
	}
	return New(Reach{Private: true, Loopback: true}, time.Now).Ask(t.Context(), Question{URL: u, Policy: "demo/web", Key: key})
}

func TestVerdicts(t *testing.T) {
	key, other := newKey(t, "the secret of the feed"), newKey(t, "the secret of another feed")
	for name, row := range map[string]struct {
		at    *ingress
		want  Verdict
		open  bool
		words string
		asked int32
	}{
		"enforced":                        {&ingress{}, Enforced, false, "without a credential and one with a worthless token", 3},
		"an anonymous rule":               {&ingress{stance: Anonymous}, Enforced, false, "was not sent", 2},
		"a rule for everybody":            {&ingress{stance: Open}, Enforced, false, "name another one", 1},
		"audit":                           {&ingress{stance: Audits}, Auditing, false, "mode is Audit", 1},
		"a stance of the future":          {&ingress{stance: "x"}, Failed, false, "older", 1},
		"accepted and not installed":      {&ingress{open: "all"}, NotEnforced, true, "answered 200: the ingress does not ask the edge, the route is OPEN", 1},
		"the application says 401":        {&ingress{open: "all", application: status(401, "WWW-Authenticate", "Bearer")}, NotEnforced, false, "401, and not by Keyturn", 1},
		"the application says 404":        {&ingress{open: "all", application: status(404)}, NotEnforced, false, "404, and not by Keyturn", 1},
		"the application says 204":        {&ingress{open: "all", application: status(204)}, NotEnforced, true, "204", 1},
		"the application sends to log in": {&ingress{open: "all", application: status(302, "Location", "/login")}, NotEnforced, false, "302, and not by Keyturn", 1},
		"the application echoes": {&ingress{open: "all", application: func(w http.ResponseWriter, r *http.Request) {
			words := strings.Split(r.Header.Get("Authorization"), ".")
			status(401, "X-Keyturn-Decision", "0a1b2c-7", "WWW-Authenticate", `Bearer keyturn-probe="`+words[1]+` demo/web refuses `+words[3]+`"`)(w, r)
		}}, WrongPolicy, false, "did not know", 1},
		"a redirect to https":        {&ingress{open: "all", application: status(308, "Location", "https://app.example.com/orders")}, Failed, false, "name the URL", 1},
		"a fault of the ingress":     {&ingress{open: "all", application: status(503)}, Failed, false, "answered 503", 1},
		"open without a credential":  {&ingress{open: "nothing"}, NotEnforced, true, "without a credential was answered 200", 3},
		"open with any token":        {&ingress{open: "garbage"}, NotEnforced, true, "worthless token was answered 200", 2},
		"half asked":                 {&ingress{open: "nothing", application: status(403)}, NotEnforced, false, "some requests only", 3},
		"half down":                  {&ingress{open: "garbage", application: status(502)}, Failed, false, "502", 2},
		"garbage is no credential":   {&ingress{open: "garbage", application: status(403, "X-Keyturn-Decision", "x")}, NotEnforced, false, "not the refusal", 2},
		"the edge breaks in between": {&ingress{open: "garbage", application: status(503, "X-Keyturn-Decision", "x", "X-Keyturn-Code", "unavailable")}, Failed, false, "503 unavailable", 2},
		"another policy":             {&ingress{policy: "demo/shop"}, WrongPolicy, false, "401 invalid_token (decision 0a1b2c-7)", 1},
		"another TokenService":       {&ingress{key: other}, WrongPolicy, false, "another TokenService's edge", 1},
		"no such policy":             {&ingress{refuse: refusal(403, "no_policy")}, WrongPolicy, false, "let it name demo/web", 1},
		"a stranger to the edge":     {&ingress{refuse: refusal(403, "untrusted_peer")}, Failed, false, "untrusted_peer", 1},
		"an edge that cannot decide": {&ingress{refuse: refusal(503, "unavailable")}, Failed, false, "503 unavailable", 1},
		"words of somebody else":     {&ingress{refuse: refusal(403, "SECRET words")}, WrongPolicy, false, "403 (decision", 1},
		"a dropped challenge":        {&ingress{carry: func(h http.Header) { h.Del("WWW-Authenticate") }}, WrongPolicy, false, "drops WWW-Authenticate", 1},
		"a dropped decision":         {&ingress{carry: func(h http.Header) { h.Del("X-Keyturn-Decision") }}, NotEnforced, false, "some requests only", 2},
	} {
		t.Run(name, func(t *testing.T) {
			if row.at.key.key.Empty() {
				row.at.key = key
			}
			if row.at.policy == "" {
				row.at.policy = "demo/web"
			}
			if row.at.stance == "" {
				row.at.stance = Refuses
			}
			server := httptest.NewServer(row.at)
			defer server.Close()
			got := askAt(t, server.URL+"/orders", key)
			if got.Verdict != row.want || got.Open != row.open || !strings.Contains(got.Message, row.words) {
				t.Errorf("%+v, want %s, open %t, %q", got, row.want, row.open, row.words)
			}
			if strings.Contains(got.Message, "SECRET") || strings.Contains(got.Message, prefix) {
				t.Errorf("foreign words: %s", got.Message)
			}
			if asked := row.at.asked.Load(); asked != row.asked {
				t.Errorf("%d requests, want %d", asked, row.asked)
			}
			if row.want == Enforced && row.at.seen.Load() > 0 {
				t.Error("a probe got to the application")
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	key := newKey(t, "the secret of the feed")
	hangs := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer slow.Close()
	defer close(hangs)
	private := httptest.NewTLSServer(&ingress{key: key, policy: "demo/web", stance: Refuses})
	defer private.Close()
	private.Config.ErrorLog = nil
	resolver := net.DefaultResolver // whose servers may take longer to say no than a probe waits
	t.Cleanup(func() { net.DefaultResolver = resolver })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no server knows a name")
	}}
	garbage, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close() //nolint:errcheck // the test is over
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SECRET not HTTP\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	for name, row := range map[string]struct{ at, words string }{
		"slow":                  {slow.URL, "no answer within 3s"},
		"nobody":                {"http://127.0.0.1:1", "no connection"},
		"no HTTP":               {"http://" + garbage.Addr().String(), "no connection, or no HTTP answer"},
		"no such name":          {"http://nobody.invalid/", "cannot be resolved"},
		"a strange certificate": {private.URL, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := askAt(t, row.at, key); got.Verdict != Failed || !strings.Contains(got.Message, row.words) || strings.Contains(got.Message, "SECRET") {
				t.Errorf("%+v, want %q", got, row.words)
			}
		})
	}
	u, _ := ParseURL(private.URL)
	for _, reach := range []Reach{{}, {Private: true}} {
		if got := New(reach, time.Now).Ask(t.Context(), Question{URL: u, Policy: "demo/web", Key: key}); got.Verdict != Failed || !strings.Contains(got.Message, "an address that probes do not go to") {
			t.Errorf("loopback: %+v", got)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(private.Certificate())
	if got := New(Reach{Loopback: true}, time.Now).Ask(t.Context(), Question{URL: u, Policy: "demo/web", Key: key, Roots: roots}); got.Verdict != Enforced {
		t.Errorf("a private authority: %+v", got)
	}
}

// TestManners: what is asked says what it is, brings nothing along, and goes nowhere else.
func TestManners(t *testing.T) {
	key := newKey(t, "the secret of the feed")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var wrong atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.UserAgent() != UserAgent || len(r.Cookies()) > 0 || r.ContentLength != 0 || r.Header.Get("Referer") != "" {
			text := fmt.Sprint(r.Method, r.Header)
			wrong.Store(&text)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, other.URL+"/x", http.StatusFound)
	}))
	defer server.Close()
	if got := askAt(t, server.URL, key); got.Verdict != NotEnforced {
		t.Errorf("%+v", got)
	}
	if text := wrong.Load(); text != nil || elsewhere.Load() > 0 {
		t.Errorf("%v, %d requests elsewhere", text, elsewhere.Load())
	}
}
