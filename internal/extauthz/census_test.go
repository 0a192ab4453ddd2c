package extauthz

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"context"
	"net"

	"google.golang.org/grpc/peer"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// atLoopback is the context of a call from a trusted proxy.
func atLoopback(t *testing.T) context.Context {
	t.Helper()
	return peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}})
}

func TestCensus(t *testing.T) {
	c := newCensus(time.Now)
	saw := func(user, role, target, agent string) { c.saw(user, role, question{target: target, agent: agent}) }
	for i := range crowd - 1 {
		for range 5 {
			saw(fmt.Sprint("u", i), "buyer", "/orders/7?x=1", "curl/8.5")
		}
	}
	if r := c.report(); len(r.Routes)+len(r.Agents)+len(r.Roles) != 0 || r.Requests != 45 {
		t.Errorf("nine users are told of: %+v", r)
	}
	saw("one-more", "admin", "/orders/8", "curl/7")
	r := c.report()
	if len(r.Routes) != 1 || r.Routes[0] != (CensusLine{"/orders/*", 46}) || r.Agents[0] != (CensusLine{"curl", 46}) || len(r.Roles) != 0 {
		t.Errorf("%+v", r)
	}
	// One user who makes up paths pushes out nothing that many use, and is told of nowhere; memory stays.
	for i := range 10_000 {
		saw("mallory", fmt.Sprint("role", i), fmt.Sprintf("/x%c%c%c/", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26), "")
	}
	r = c.report()
	if len(c.routes) > censusLines || len(c.roles) > censusLines || len(r.Routes) != 1 || len(r.Agents) != 1 {
		t.Errorf("%d routes, %d roles, %+v", len(c.routes), len(c.roles), r)
	}
	// When all lines have many users, no other value takes the place of one.
	full := map[string]*censusEntry{}
	for i := range censusLines {
		for who := range crowd {
			count(full, fmt.Sprint(i), uint64(who))
		}
	}
	count(full, "63", 1)
	if lines := told(full); len(lines) != censusLines || lines[0] != (CensusLine{"63", crowd + 1}) || lines[1].Value != "0" || lines[2].Value != "1" {
		t.Errorf("not by the number of requests, then by value: %v", lines[:3])
	}
	count(full, "new", 1)
	if len(full) != censusLines || full["new"] != nil {
		t.Error("a value that many use was pushed out")
	}
}

func TestRouteTemplates(t *testing.T) {
	for target, want := range map[string]string{
		"/": "/", "": "/", "/?a=b": "/", "/orders": "/orders", "/orders/": "/orders", "/orders/7/x?y": "/orders/*", "/api.v2/x": "/api.v2/*",
		"/123456": "/{value}", "/ann@example.test/x": "/{value}/*", "/a%20b": "/{value}", "/" + strings.Repeat("a", 33): "/{value}",
		"/550e8400-e29b-41d4": "/{value}", "//x": "//*", "/\xff": "/{value}",
	} {
		if got := routeTemplate(target); got != want {
			t.Errorf("%q: %s, want %s", target, got, want)
		}
	}
	for header, want := range map[string]string{
		"": "none", "curl/8.5.0": "curl", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0": "firefox",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36":           "chrome",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0": "edge",
		"Mozilla/5.0 (iPhone) AppleWebKit/605 (KHTML, like Gecko) Version/17 Mobile Safari/604.1":                   "safari",
		"okhttp/4.12": "okhttp", "Go-http-client/2.0": "go", "python-requests/2": "python", "MyApp/1": "other", "Googlebot/2.1": "bot",
	} {
		if got := agentFamily(header); got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
}

// What the edge tells of those who still use sessions.
func TestCensusEndpoint(t *testing.T) {
	w := newLegacyWorld(t)
	on, _ := w.serve(t, Drain{})
	for range 3 {
		r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest("", with("Cookie", legacyName+"=ann.1"), with("User-Agent", "curl/8")))
		if r.StatusCode != 200 {
			t.Fatal(r.StatusCode)
		}
		if got := newEnvoy(t, on.GRPC.Addr().String()).send(t, get(header{"Cookie", legacyName + "=bob.1"}, header{"User-Agent", "curl/8"})); got.status != 200 {
			t.Fatal(got.status)
		}
	}
	_, body := ask(t, on.Internal.Addr().String(), "GET /census HTTP/1.1", []header{{"Host", "x"}})
	var got Census
	check(t, json.Unmarshal([]byte(body), &got))
	if got.Requests != 6 || len(got.Routes) != 0 || got.Routes == nil || strings.Contains(body, "ann") || strings.Contains(body, "orders") {
		t.Errorf("%s", body)
	}
	if e := w.census.agents["curl"]; e == nil || e.requests != 6 || e.distinct != 2 {
		t.Errorf("%+v", e)
	}
	if w.census.routes["/orders"] == nil || w.census.roles["buyer"] == nil {
		t.Errorf("%v %v", w.census.routes, w.census.roles)
	}
}
