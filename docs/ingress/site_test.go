package ingress_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/extauthz"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// addresses are host:port of a proxy and of what it stands in front of. grpc is the authorizer's other port.
type addresses struct{ listen, extAuthz, grpc, tokenService, application string }

// proxy is a real proxy by its recipe, with the policy shop/web.
type proxy struct {
	name string
	// run starts it and returns when it accepts connections; it ends with the test.
	run func(t *testing.T, at addresses)
	// tries is how often it asks at most where the authorizer fails.
	tries int
}

// proxies are all that this machine can run.
var proxies = []proxy{nginxProxy, haproxyProxy, caddyProxy}

// application notes what it is asked, answers who it was told the user is, and echoes over WebSockets.
type application struct {
	mu   sync.Mutex
	seen []*http.Request
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen = append(a.seen, r)
	a.mu.Unlock()
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // read to the end
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		_, _ = io.CopyN(conn, rw, 4)
		return
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s|%s|%s|%s", r.Header.Get("X-Auth-User"), r.Header.Get("X-Auth-Role"), r.Header.Get("X-Auth-Method"), body)
}

// take returns what was asked since the last time.
func (a *application) take() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

// front is a proxy with what stands behind it.
type front struct {
	proxy
	at          addresses
	application *application
	internal    string // of the authorizer; empty where it is a false one
	key         *token.PrivateKey
}

// put runs a proxy in front of an application; authorizer is host:port of a false one, or empty for the real one.
func (p proxy) put(t *testing.T, authorizer string) *front {
	t.Helper()
	f := &front{proxy: p, application: &application{}}
	f.at.extAuthz, f.at.grpc = authorizer, authorizer
	if authorizer == "" {
		f.authorize(t)
	}
	server := httptest.NewServer(f.application)
	t.Cleanup(server.Close)
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "token service: %s for %q", r.URL.Path, r.Header["X-Forwarded-For"])
	}))
	t.Cleanup(public.Close)
	f.at.listen, f.at.application, f.at.tokenService = port.For(t), server.Listener.Addr().String(), public.Listener.Addr().String()
	p.run(t, f.at)
	return f
}

// authorize runs a real authorizer, which knows the policies shop/web and shop/orders.
func (f *front) authorize(t *testing.T) {
	t.Helper()
	key, err := token.Generate(token.ES256, 0)
	check(t, err)
	f.key = key
	path := filepath.Join(t.TempDir(), "edge.json")
	raw, err := snapshot.EncodeEdge(snapshot.Edge{
		Header: snapshot.Header{Revision: 1, TokenService: "shop/id", Issuer: "https://id.example.test"},
		Keys: snapshot.KeySet{Name: "shop/keys", Epoch: 1, Active: key.KID(),
			Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: key.Public().JWK()}}},
		Audiences: []string{"api"}, MaxTTL: snapshot.Duration(time.Hour), Claims: []string{"role"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Feed:           snapshot.FeedAddress{Address: "127.0.0.1:1"}, MaxPropagation: snapshot.Duration(time.Second), AccessCookie: snapshot.AccessCookie,
		Rollout: &snapshot.Rollout{
			Name: "shop/move", Cookie: "connect.sid", Salt: "s", Percent: 100, Deprecation: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Sunset: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC), Link: "https://example.test/move",
		},
		Policies: []snapshot.AccessPolicy{{
			Name: "shop/web", Accept: []string{snapshot.AcceptJWT, snapshot.AcceptLegacySession}, LoginURL: "/auth/continue",
			Rules: []snapshot.AccessRule{
				{Path: "/open", PathType: snapshot.PathPrefix, Anonymous: true},
				{Path: "/admin", PathType: snapshot.PathPrefix, Roles: []string{"admin"}},
			},
		}, {
			Name: "shop/orders", Accept: []string{snapshot.AcceptJWT}, Roles: []string{"admin"},
		}},
	})
	check(t, err)
	check(t, os.WriteFile(path, raw, 0o600))
	a, err := extauthz.New(extauthz.Config{
		Snapshot: path, Instance: "edge-0", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Revocations: func(func() (feed.Target, bool)) (extauthz.Revocations, error) {
			return tokenService{revocation.NewList()}, nil
		},
	})
	check(t, err)
	on := extauthz.Listeners{HTTP: listen(t), GRPC: listen(t), Internal: listen(t)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.Serve(ctx, on, extauthz.Drain{Grace: time.Second})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	f.at.extAuthz, f.at.grpc, f.internal = on.HTTP.Addr().String(), on.GRPC.Addr().String(), on.Internal.Addr().String()
}

// bearer makes a token.
func (f *front) bearer(t *testing.T, role string, change ...func(*token.Claims)) string {
	t.Helper()
	c := token.Claims{
		Issuer: "https://id.example.test", Subject: "ann", Audience: []string{"api"}, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute),
		ID: "1", ClientID: "keyturn-web", SessionID: revocation.SessionID(1), Custom: map[string]string{"role": role},
	}
	for _, by := range change {
		by(&c)
	}
	raw, err := token.NewSigner(f.key).Sign(c)
	check(t, err)
	return "Bearer " + raw.Reveal()
}

// decisions is how often the authorizer has decided.
func (f *front) decisions(t *testing.T) (n int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.internal+"/metrics", nil)
	check(t, err)
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	defer response.Body.Close() //nolint:errcheck // read to the end
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var count int
		if name, value, _ := strings.Cut(lines.Text(), " "); strings.HasPrefix(name, "keyturn_decisions_total{") {
			_, err := fmt.Sscan(value, &count)
			check(t, err)
			n += count
		}
	}
	check(t, lines.Err())
	return n
}

// send writes bytes to the proxy and reads an answer for each of methods; one whose connection breaks has the status 0.
func (f *front) send(t *testing.T, raw string, methods ...string) []answer {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", f.at.listen)
	check(t, err)
	defer conn.Close() //nolint:errcheck // read to the end
	check(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, _ = io.WriteString(conn, raw) // the proxy may have answered before the end
	reader := bufio.NewReader(conn)
	answers := make([]answer, len(methods))
	for i, method := range methods {
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			break
		}
		answers[i] = answer{status: response.StatusCode, header: response.Header}
		if response.StatusCode == http.StatusSwitchingProtocols {
			_, _ = io.WriteString(conn, "ping")
			echo := make([]byte, 4)
			_, _ = io.ReadFull(reader, echo)
			answers[i].body = string(echo)
			break
		}
		body, _ := io.ReadAll(response.Body)
		answers[i].body = string(body)
	}
	return answers
}

// ask sends one request. headers are lines.
func (f *front) ask(t *testing.T, line string, headers ...string) answer {
	t.Helper()
	method, _, _ := strings.Cut(line, " ")
	return f.send(t, request(line, headers...), method)[0]
}

func request(line string, headers ...string) string {
	lines := append([]string{line + " HTTP/1.1", "Host: app.example.test"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}
