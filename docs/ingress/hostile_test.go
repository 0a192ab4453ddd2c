package ingress_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/nginx"
	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/extauthz"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
	"github.com/keyturn/keyturn/internal/token/tokentest"
)

// lastReason is a log that remembers why the last check was denied.
type lastReason struct {
	mu     sync.Mutex
	reason string
}

func (l *lastReason) Enabled(context.Context, slog.Level) bool { return true }
func (l *lastReason) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lastReason) WithGroup(string) slog.Handler            { return l }
func (l *lastReason) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "denied" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.reason = a.Value.String()
		}
		return true
	})
	return nil
}

func (l *lastReason) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.reason = "" }()
	return l.reason
}

// arena is an edge that knows one key of each algorithm and whose clock stands still, with what asks it.
type arena struct {
	setting tokentest.Setting
	edge    *extauthz.Authorizer
	http    string
	grpc    auth.AuthorizationClient
	why     *lastReason
}

func newArena(t *testing.T) *arena {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	a := &arena{why: &lastReason{}, setting: tokentest.Setting{
		Issuer: "https://id.example.test", Audience: "https://api.example.test", Now: now, Skew: time.Minute, MaxTTL: time.Hour, MaxBytes: token.MaxBytes,
	}}
	set := snapshot.KeySet{Name: "demo/keys", Epoch: 1, ClockSkew: snapshot.Duration(a.setting.Skew)}
	for _, algorithm := range token.Algorithms {
		key, err := token.Generate(algorithm, 0)
		check(t, err)
		forging, err := tokentest.ParseKey(key.JWK().Reveal())
		check(t, err)
		a.setting.Others = append(a.setting.Others, forging)
		set.Active = key.KID()
		set.Keys = append(set.Keys, snapshot.Key{KID: key.KID(), Algorithm: string(algorithm), JWK: key.Public().JWK()})
	}
	raw, err := snapshot.EncodeEdge(snapshot.Edge{
		Header: snapshot.Header{Revision: 1, TokenService: "demo/web", Issuer: a.setting.Issuer},
		Keys:   set, Audiences: []string{a.setting.Audience}, MaxTTL: snapshot.Duration(a.setting.MaxTTL), Claims: []string{"role"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Feed:           snapshot.FeedAddress{Address: "127.0.0.1:1"}, MaxPropagation: snapshot.Duration(time.Second),
	})
	check(t, err)
	path := filepath.Join(t.TempDir(), "edge.json")
	check(t, os.WriteFile(path, raw, 0o600))
	a.edge, err = extauthz.New(extauthz.Config{
		Snapshot: path, Instance: "edge-0", Log: slog.New(a.why), Now: func() time.Time { return now },
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
		_ = a.edge.Serve(ctx, on, extauthz.Drain{Grace: time.Second})
	}()
	connection, err := grpc.NewClient(on.GRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { _ = connection.Close(); cancel(); <-ended })
	a.http, a.grpc = on.HTTP.Addr().String(), auth.NewAuthorizationClient(connection)
	return a
}

// each calls try with every case for every algorithm and tells the figures.
func (a *arena) each(t *testing.T, try func(c tokentest.Case) (tried bool)) {
	t.Helper()
	for _, key := range a.setting.Others {
		tried, left := 0, 0
		for _, c := range append(a.setting.Cases(key), a.setting.Variants(key)...) {
			c.Name = key.Algorithm + " " + c.Class + "/" + c.Name
			if try(c) {
				tried++
			} else {
				left++
			}
		}
		t.Logf("%s: %d tokens sent, %d cannot be", key.Algorithm, tried, left)
		if tried < 700 {
			t.Errorf("%s: too few", key.Algorithm)
		}
	}
}

// reason is what the edge must say: a comma parts two credentials before anybody reads a token.
func reason(c tokentest.Case) string {
	if strings.Contains(c.Raw, ",") {
		return string(policy.MultipleCredentials)
	}
	return string(c.Reason)
}

// The check itself, as nginx asks it, with the header's bytes as they are.
func TestHostileTokensByHTTP(t *testing.T) {
	a := newArena(t)
	handler := a.edge.HTTP().Handler
	a.each(t, func(c tokentest.Case) bool {
		if strings.HasPrefix(c.Raw, " ") {
			return false // any number of spaces may stand between the scheme and the token
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/authz/nginx/-/default", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "app.test"
		r.Header = http.Header{"X-Original-Method": {"GET"}, "X-Original-Url": {"http://app.test/"}, "Authorization": {"Bearer " + c.Raw}}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		why := a.why.take()
		switch good := c.Outcome == policy.Valid; {
		case good && (w.Code != http.StatusOK || w.Header().Get("X-Auth-User") != tokentest.Subject):
			t.Errorf("%s: %d %s %v", c.Name, w.Code, why, w.Header())
		case !good && (w.Code != http.StatusUnauthorized || why != reason(c) || w.Header().Get("X-Auth-User") != ""):
			t.Errorf("%s: %d %s, want %s", c.Name, w.Code, why, reason(c))
		}
		return true
	})
}

// The same by Envoy's protocol; what is not UTF-8 travels in the raw form of the headers.
func TestHostileTokensByGRPC(t *testing.T) {
	a := newArena(t)
	a.each(t, func(c tokentest.Case) bool {
		if strings.HasPrefix(c.Raw, " ") || len(c.Raw) > 512<<10 { // the latter is more than Envoy takes from a client
			return false
		}
		request := &auth.AttributeContext_HttpRequest{Method: "GET", Path: "/", Host: "app.test", Scheme: "https"}
		if value := "Bearer " + c.Raw; utf8.ValidString(value) {
			request.Headers = map[string]string{"authorization": value}
		} else {
			request.HeaderMap = &core.HeaderMap{Headers: []*core.HeaderValue{{Key: "authorization", RawValue: []byte(value)}}}
		}
		answer, err := a.grpc.Check(t.Context(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
			Request: &auth.AttributeContext_Request{Http: request}, ContextExtensions: map[string]string{extauthz.PolicyExtension: policy.DefaultPolicy},
		}})
		check(t, err)
		why, user := a.why.take(), ""
		for _, h := range answer.GetOkResponse().GetHeaders() {
			if strings.EqualFold(h.GetHeader().GetKey(), "X-Auth-User") {
				user = h.GetHeader().GetValue()
			}
		}
		switch good := c.Outcome == policy.Valid; {
		case good && (answer.GetStatus().GetCode() != 0 || answer.GetOkResponse() == nil || user != tokentest.Subject):
			t.Errorf("%s: %v %s", c.Name, answer, why)
		case !good && (answer.GetStatus().GetCode() == 0 || answer.GetDeniedResponse().GetStatus().GetCode() != 401 || why != reason(c)):
			t.Errorf("%s: %v %s, want %s", c.Name, answer, why, reason(c))
		}
		return true
	})
}

// mostByNginx is what the recipe lets nginx take in one line of a header, less the name and the scheme.
const mostByNginx = 16<<10 - 100

// Through a real nginx by the recipe: not one of them reaches the application.
func TestHostileTokensThroughNginx(t *testing.T) {
	a := newArena(t)
	var reached atomic.Int64
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		fmt.Fprint(w, r.Header.Get("X-Auth-User"))
	}))
	t.Cleanup(application.Close)
	recipe, err := os.ReadFile("nginx.conf")
	check(t, err)
	front := port.For(t)
	dir := t.TempDir()
	check(t, nginx.Configure(dir, string(recipe), nginx.Addresses{
		Listen: front, ExtAuthz: a.http, Application: strings.TrimPrefix(application.URL, "http://"), TokenService: "127.0.0.1:1",
	}))
	cache, err := debian.CacheDir()
	check(t, err)
	path, err := nginx.Find(t.Context(), cache, t.Output())
	check(t, err)
	server, err := nginx.Start(t.Context(), path, dir, front)
	check(t, err)
	t.Cleanup(server.Stop)
	s := &site{url: "http://" + front}
	a.each(t, func(c tokentest.Case) bool {
		good := c.Outcome == policy.Valid
		if !c.Carriable() || len(c.Raw) > 64<<10 { // on the longest nginx closes the connection before they are sent
			return false
		}
		before := reached.Load()
		got := s.get(t, "/", "", "Authorization", "Bearer "+c.Raw)
		why := a.why.take()
		switch passed := reached.Load() - before; {
		case good && (got.status != http.StatusOK || passed != 1 || got.body != tokentest.Subject):
			t.Errorf("%s: %d %s %s", c.Name, got.status, why, got.body)
		case good:
		case passed != 0 || got.status < 400 || got.status >= 500:
			t.Errorf("%s: %d, reached the application: %v", c.Name, got.status, passed != 0)
		case len(c.Raw) <= mostByNginx && (got.status != http.StatusUnauthorized || why != reason(c)):
			t.Errorf("%s: %d %s, want %s", c.Name, got.status, why, reason(c))
		}
		return true
	})
}
