// Package ingress_test runs the recipes of this directory as they are, in front of a real authorizer.
package ingress_test

import (
	"context"
	"errors"
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
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/nginx"
	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/extauthz"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tokenService is what the edge asks: one good session, one that nobody can validate.
type tokenService struct{ list *revocation.List }

func (s tokenService) List() *revocation.List { return s.list }
func (tokenService) Status() snapshot.RevocationStatus {
	return snapshot.RevocationStatus{Loaded: true}
}
func (tokenService) Ask(_ context.Context, cookie secret.Text) (feed.SessionAnswer, error) {
	switch cookie.Reveal() {
	case "good":
		return feed.SessionAnswer{Valid: true, User: "ann", Role: "buyer"}, nil
	case "down":
		return feed.SessionAnswer{}, errors.New("the validator is down")
	}
	return feed.SessionAnswer{}, nil
}

// site is nginx by the recipe, the authorizer and an application.
type site struct {
	url, snapshot string
	key           *token.PrivateKey
}

func (s *site) put(t *testing.T, revision int64, rollout snapshot.Rollout) {
	t.Helper()
	rollout.Name, rollout.Cookie, rollout.Salt = "demo/move", "connect.sid", "s"
	raw, err := snapshot.EncodeEdge(snapshot.Edge{
		Header: snapshot.Header{Revision: revision, TokenService: "demo/web", Issuer: "https://id.example.test"},
		Keys: snapshot.KeySet{Name: "demo/keys", Epoch: revision, Active: s.key.KID(),
			Keys: []snapshot.Key{{KID: s.key.KID(), Algorithm: string(s.key.Algorithm()), JWK: s.key.Public().JWK()}}},
		Audiences: []string{"api"}, MaxTTL: snapshot.Duration(time.Hour), Claims: []string{"role"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Feed:           snapshot.FeedAddress{Address: "127.0.0.1:1"}, MaxPropagation: snapshot.Duration(time.Second),
		AccessCookie: snapshot.AccessCookie, Rollout: &rollout,
	})
	check(t, err)
	check(t, os.WriteFile(s.snapshot+".new", raw, 0o600))
	check(t, os.Rename(s.snapshot+".new", s.snapshot))
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	return l
}

// start runs a site whose recipe has the cookies switched on; revision 1 is in force.
func start(t *testing.T, rollout snapshot.Rollout) *site {
	t.Helper()
	key, err := token.Generate(token.ES256, 0)
	check(t, err)
	s := &site{snapshot: filepath.Join(t.TempDir(), "edge.json"), key: key}
	s.put(t, 1, rollout)
	a, err := extauthz.New(extauthz.Config{
		Snapshot: s.snapshot, Instance: "edge-0", Log: slog.New(slog.DiscardHandler), Now: time.Now,
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
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", `</next>; rel="next"`)
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprintf(w, "%s as %s by %s", r.Header.Get("X-Auth-User"), r.Header.Get("X-Auth-Role"), r.Header.Get("X-Auth-Method"))
	}))
	t.Cleanup(application.Close)
	public := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(public.Close)

	recipe, err := os.ReadFile("nginx.conf")
	check(t, err)
	text := strings.Replace(string(recipe), "set $keyturn_cookies no;", "set $keyturn_cookies yes;", 1)
	front := port.For(t)
	dir := t.TempDir()
	check(t, nginx.Configure(dir, text, nginx.Addresses{
		Listen: front, ExtAuthz: on.HTTP.Addr().String(),
		Application: strings.TrimPrefix(application.URL, "http://"), TokenService: strings.TrimPrefix(public.URL, "http://"),
	}))
	cache, err := debian.CacheDir()
	check(t, err)
	path, err := nginx.Find(t.Context(), cache, t.Output())
	check(t, err)
	server, err := nginx.Start(t.Context(), path, dir, front)
	check(t, err)
	t.Cleanup(server.Stop)
	s.url = "http://" + front
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *site) get(t *testing.T, path, cookie string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	check(t, err)
	if cookie != "" {
		request.Header.Set("Cookie", "connect.sid="+cookie)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request) // follows nothing
	check(t, err)
	body, err := io.ReadAll(response.Body)
	check(t, err)
	check(t, response.Body.Close())
	return answer{status: response.StatusCode, header: response.Header, body: string(body)}
}

// eventually waits for the authorizer to take a document.
func (s *site) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		case <-tick.C:
		}
	}
}

func TestLegacySessionsThroughNginx(t *testing.T) {
	deprecation := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sunset := time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
	s := start(t, snapshot.Rollout{Percent: 10})
	silent := func(name string, h http.Header) {
		t.Helper()
		if h.Get("Deprecation") != "" || h.Get("Sunset") != "" || len(h.Values("Link")) > 1 {
			t.Errorf("%s announces: %v", name, h)
		}
	}
	told := func(name string, h http.Header) {
		t.Helper()
		if h.Get("Deprecation") != "@1767323045" || h.Get("Sunset") != "Tue, 01 Jan 2199 00:00:00 GMT" ||
			!strings.Contains(strings.Join(h.Values("Link"), ", "), `<https://example.test/move>; rel="deprecation", <https://example.test/move>; rel="sunset"`) {
			t.Errorf("%s: %v", name, h)
		}
	}
	got := s.get(t, "/", "good")
	if got.status != 200 || got.body != "ann as buyer by session" {
		t.Errorf("%d %s", got.status, got.body)
	}
	silent("migrating", got.header)
	raw, err := token.NewSigner(s.key).Sign(token.Claims{
		Issuer: "https://id.example.test", Subject: "ann", Audience: []string{"api"}, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute),
		ID: "1", ClientID: "keyturn-web", SessionID: revocation.SessionID(1),
	})
	check(t, err)
	bearer := "Bearer " + raw.Reveal()

	s.put(t, 2, snapshot.Rollout{Percent: 100, Deprecation: deprecation, Sunset: sunset, Link: "https://example.test/move"})
	s.eventually(t, "deprecated", func() bool { return s.get(t, "/", "good").header.Get("Deprecation") != "" })
	for _, path := range []string{"/", "/missing"} {
		got = s.get(t, path, "good")
		told(path, got.header)
		if links := got.header.Values("Link"); len(links) != 2 || links[0] != `</next>; rel="next"` || got.body != "ann as buyer by session" {
			t.Errorf("%s: the application's own: %v %s", path, links, got.body)
		}
	}
	for name, got := range map[string]answer{
		"a token": s.get(t, "/", "", "Authorization", bearer), "a token and a session": s.get(t, "/", "good", "Authorization", bearer),
		"a token beside a session that nobody can validate": s.get(t, "/", "down", "Authorization", bearer),
	} {
		if got.status != 200 || got.body != "ann as  by jwt" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		silent(name, got.header)
	}
	refused := func(name string, got answer, status int, code string) {
		t.Helper()
		if got.status != status || !strings.Contains(got.body, `"code":"`+code+`"`) || (status == 503) != (got.header.Get("Retry-After") != "") {
			t.Errorf("%s: %d %v %s", name, got.status, got.header, got.body)
		}
	}
	refused("over", s.get(t, "/", "over"), 401, "legacy_session_invalid")
	refused("down", s.get(t, "/", "down"), 503, "legacy_unavailable")

	s.put(t, 3, snapshot.Rollout{Percent: 100, Deprecation: deprecation, Sunset: sunset, Link: "https://example.test/move",
		Brownouts: []snapshot.Brownout{{Start: deprecation, Duration: snapshot.Duration(100 * 365 * 24 * time.Hour), Percent: 100}}})
	s.eventually(t, "brownout", func() bool { return s.get(t, "/", "good").status == 401 })
	got = s.get(t, "/", "good")
	refused("brownout", got, 401, "legacy_session_brownout")
	told("brownout", got.header)

	s.put(t, 4, snapshot.Rollout{Percent: 100, Deprecation: deprecation, Sunset: deprecation, SunsetReached: true})
	s.eventually(t, "sunset", func() bool { return strings.Contains(s.get(t, "/", "good").body, "sunset") })
	refused("sunset", s.get(t, "/", "good"), 401, "legacy_session_sunset")
	got = s.get(t, "/page?a=b", "good", "Sec-Fetch-Mode", "navigate")
	if got.status != 302 || got.header.Get("Location") != "/auth/continue?return_to=/page?a=b" {
		t.Errorf("a page after the sunset: %d %v", got.status, got.header)
	}
	if got = s.get(t, "/", "good", "Authorization", bearer); got.status != 200 || got.body != "ann as  by jwt" {
		t.Errorf("a token after the sunset: %d %s", got.status, got.body)
	}
}
