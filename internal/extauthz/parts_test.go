package extauthz

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
)

func TestNewNeedsItsParts(t *testing.T) {
	w := newWorld(t)
	good := Config{Snapshot: w.mount.path(), Instance: "x", Log: w.log.logger(), Now: time.Now, Revocations: w.revocationsOf()}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"snapshot": func(c *Config) { c.Snapshot = "" }, "instance": func(c *Config) { c.Instance = "" }, "log": func(c *Config) { c.Log = nil },
		"clock": func(c *Config) { c.Now = nil }, "revocations": func(c *Config) { c.Revocations = nil },
		"a feed that works": func(c *Config) {
			c.Revocations = func(func() (feed.Target, bool)) (Revocations, error) { return nil, errors.New("no") }
		},
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("New works without %s", name)
		}
	}
}

func TestFeedTarget(t *testing.T) {
	w := newWorld(t)
	target, known := w.feedTarget()
	if !known || target.Address != "127.0.0.1:1" || target.MaxPropagation != 5*time.Second || w.edges.Load().Feed() != target {
		t.Errorf("%+v %v", target, known)
	}
	doc := document(2, 2, signingKeys()[0])
	doc.Feed.Address, doc.Feed.ServerName = "10.0.0.1:8444", "feed.shop.svc"
	w.put(t, doc)
	if target, _ := w.feedTarget(); target.Address != "10.0.0.1:8444" || target.ServerName != "feed.shop.svc" {
		t.Errorf("after a change: %+v", target)
	}
	w.mount = newMount(t)
	fresh, err := New(Config{Snapshot: w.mount.path(), Instance: "x", Log: w.log.logger(), Now: time.Now, Revocations: w.revocationsOf()})
	check(t, err)
	if _, known := fresh.feedTarget(); known {
		t.Error("a target without a document")
	}
}

func TestHealthWatch(t *testing.T) {
	w := newWorld(t)
	on, stop := w.serve(t, Drain{Delay: 3 * healthInterval, Grace: 20 * time.Second})
	conn, err := grpc.NewClient("passthrough:///"+on.GRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer conn.Close() //nolint:errcheck // the test is over
	stream, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	check(t, err)
	next := func() grpc_health_v1.HealthCheckResponse_ServingStatus {
		r, err := stream.Recv()
		check(t, err)
		return r.GetStatus()
	}
	if got := next(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error(got)
	}
	w.feed.set(false, false)
	if got := next(); got != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Error(got)
	}
	w.feed.set(true, false)
	if got := next(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error(got)
	}
	started := time.Now()
	check(t, stop())
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("a watcher held up the end for %s", took)
	}
}

func TestPeerOfAnotherNetwork(t *testing.T) {
	w := newWorld(t)
	request := (&envoy{extensions: map[string]string{PolicyExtension: "-/default"}}).request(get(bearer(mint(t, signingKeys()[0]))))
	for name, ctx := range map[string]context.Context{
		"none": context.Background(), "unix": peer.NewContext(context.Background(), &peer.Peer{Addr: &net.UnixAddr{Name: "/x"}}),
	} {
		answer, err := checker{a: w.Authorizer}.Check(ctx, request)
		out, applied := apply(get(), answer)
		if err != nil || applied != nil || out.status != 403 || out.headers["X-Keyturn-Code"] != "untrusted_peer" {
			t.Errorf("%s: %+v %v %v", name, out, err, applied)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/authz/nginx/-/default", nil)
	r.RemoteAddr = "@"
	answer := httptest.NewRecorder()
	w.serveCheck(answer, r)
	if answer.Code != 403 || answer.Header().Get(HeaderCode) != "untrusted_peer" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
}

func TestFaultsNameTheirPlaceOnly(t *testing.T) {
	w := newWorld(t)
	func() {
		defer func() { w.fault("http", recover()) }()
		var none []int
		_ = none[len(w.instance)]
	}()
	lines := w.log.lines(t, "panic")
	if len(lines) != 1 || !strings.Contains(lines[0]["fault"].(string), "index out of range") || len(lines[0]["at"].([]any)) == 0 {
		t.Errorf("%v", lines)
	}
}

func TestLogIsBounded(t *testing.T) {
	w := newWorld(t)
	w.decide(t.Context(), question{protocol: "grpc", policy: strings.Repeat("p", 5000), target: "/" + strings.Repeat("t", 5000) + "?token=SECRET", host: strings.Repeat("h", 5000), method: strings.Repeat("m", 5000)})
	if text := w.log.String(); len(text) > 2000 || strings.Contains(text, "SECRET") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	_, err := errorLog(w.log.logger()).Writer().Write([]byte("x"))
	check(t, err)
}

func TestDetails(t *testing.T) {
	for _, r := range []policy.Reason{
		policy.NoCredential, policy.MultipleCredentials, policy.BadSignature, policy.ReasonExpired, policy.ReasonRevoked, policy.NotReady, policy.NoPolicy,
		policy.SpoofedIdentity, policy.CrossSite, policy.ConflictingCredentials, policy.BadRequestTarget, policy.UntrustedPeer, policy.MissingDialectHeader, policy.UnusableIdentity,
		policy.LegacySunset, policy.LegacyBrownout, policy.LegacyInvalid, policy.LegacyUnavailable,
	} {
		if text := detail(policy.Deny(r).Code); text == "" || !quotable(strings.ReplaceAll(text, " ", "")) {
			t.Errorf("%s: %q", r, text)
		}
	}
	if detail("x") != "" {
		t.Error("a detail for an unknown code")
	}
	if refusalReason(errors.New("x")) != "Incomplete" || ended(errors.New("x")) == nil || ended(http.ErrServerClosed) != nil {
		t.Error("helpers")
	}
}
