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
	if len(r.Routes) != 1 || r.Routes[0] != (CensusLine{Value: "/orders/*", Requests: 46}) || r.Agents[0] != (CensusLine{Value: "curl", Requests: 46}) || len(r.Roles) != 0 {
		t.Errorf("%+v", r)
	}
	// One user who makes up paths pushes out nothing that many use, and is told of nowhere; memory stays.
	for i := range 10_000 {
		saw("mallory", fmt.Sprint("role", i), fmt.Sprintf("/x%c%c%c/", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26), "")
	}
	r = c.report()
	if len(c.current.routes) > 2*censusLines || len(c.current.roles) > 2*censusLines || len(r.Routes) != 1 || len(r.Agents) != 1 {
		t.Errorf("%d routes, %d roles, %+v", len(c.current.routes), len(c.current.roles), r)
	}
	// When all lines have many users, the most frequent ones stay, and are told of in their order.
	full := map[string]*censusEntry{}
	for i := range 2 * censusLines {
		for who := range crowd {
			count(full, fmt.Sprint(i), uint64(who))
		}
	}
	count(full, "63", 1)
	if lines := told(nil, full); len(lines) != censusLines || lines[0] != (CensusLine{Value: "63", Requests: crowd + 1}) || lines[1].Value != "0" || lines[2].Value != "1" {
		t.Errorf("not by the number of requests, then by value: %v", lines[:3])
	}
	count(full, "new", 1)
	if len(full) != 2*censusLines || told(nil, full)[0].Value != "63" {
		t.Error("the most frequent value was pushed out")
	}
}

// TestCensusOfMadeUpValues: ten accounts that fill every line before anybody else comes hide nothing that many use.
func TestCensusOfMadeUpValues(t *testing.T) {
	c := newCensus(time.Now)
	squat := func(rounds int) {
		for range rounds {
			for route := range 3 * censusLines {
				for user := range crowd {
					c.saw(fmt.Sprint("bot", user), "", question{target: fmt.Sprintf("/squat-%c%c", 'a'+route/26, 'a'+route%26)})
				}
			}
		}
	}
	squat(1)
	for user := range 5000 {
		c.saw(fmt.Sprint("u", user), "", question{target: "/orders/1"})
	}
	squat(2) // it stays
	if r := c.report(); len(c.current.routes) > 2*censusLines || len(r.Routes) == 0 || r.Routes[0] != (CensusLine{Value: "/orders/*", Requests: 5000}) {
		t.Errorf("%d lines, told %+v", len(c.current.routes), r.Routes)
	}
}

// TestCensusForgets: a count lasts a day and is told of for another one; a user of both days is one user.
func TestCensusForgets(t *testing.T) {
	start := time.Date(2027, 1, 1, 8, 0, 0, 0, time.UTC)
	now := start
	c := newCensus(func() time.Time { return now })
	visit := func(from, to int) {
		for i := from; i < to; i++ {
			c.saw(fmt.Sprint("u", i), "buyer", question{target: "/orders"})
		}
	}
	expect := func(when string, since time.Time, requests uint64, lines int) {
		t.Helper()
		if r := c.report(); !r.Since.Equal(since) || r.Requests != requests || len(r.Roles) != lines {
			t.Errorf("%s: %+v", when, r)
		}
	}
	visit(0, 6)
	now = start.Add(24 * time.Hour)
	visit(0, 6)
	expect("six users of two days are six", start, 12, 0)
	visit(6, 10)
	expect("ten users of two days are ten", start, 16, 1)
	now = start.Add(48 * time.Hour)
	expect("four and six of the day before are left", start.Add(24*time.Hour), 10, 1)
	now = start.Add(72 * time.Hour)
	expect("nobody is left", start.Add(48*time.Hour), 0, 0)
	visit(0, 10)
	now = start.Add(200 * time.Hour)
	expect("long ago", now, 0, 0)
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
	if got.Requests != 6 || got.Instance == "" || len(got.Routes) != 0 || got.Routes == nil || strings.Contains(body, "ann") || strings.Contains(body, "orders") {
		t.Errorf("%s", body)
	}
	if e := w.census.current.agents["curl"]; e == nil || e.requests != 6 || e.distinct != 2 {
		t.Errorf("%+v", e)
	}
	if w.census.current.routes["/orders"] == nil || w.census.current.roles["buyer"] == nil {
		t.Errorf("%v %v", w.census.current.routes, w.census.current.roles)
	}
}
