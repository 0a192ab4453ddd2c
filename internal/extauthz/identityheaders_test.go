package extauthz

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// Whatever the policy of a route, the headers of all policies are nobody's to bring: by HTTP the request is refused, by
// gRPC they are removed.
func TestHeadersOfPolicies(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	sid := ""
	good := bearer(mint(t, signingKeys()[0], func(c *token.Claims) { sid = c.SessionID }))
	for _, row := range []struct {
		policy, target string
		headers        []header
		want           map[string]string
	}{
		{"shop/told", "/", []header{good}, map[string]string{"X-User-Id": "ann", "X-Session": sid, "X-Sub": "ann", "X-Auth-User": "ann"}},
		{"shop/told", "/", []header{{"Cookie", "connect.sid=good"}}, map[string]string{"X-User-Id": "ann", "X-Session": "", "X-Sub": "ann", "X-Auth-User": "ann"}},
		{"shop/told", "/open", nil, map[string]string{"X-User-Id": "", "X-Session": "", "X-Sub": "", "X-Auth-User": ""}},
		{"shop/jwt", "/", []header{good}, map[string]string{"X-User-Id": "", "X-Session": "", "X-Sub": "", "X-Auth-User": "ann"}},
		{"-/default", "/", []header{good}, map[string]string{"X-User-Id": "", "X-Auth-User": "ann"}},
	} {
		for _, dialect := range allDialects {
			line, headers := original{row.policy, "GET", row.target, row.headers}.told(dialect)
			r, _ := ask(t, on.HTTP.Addr().String(), line, headers)
			for name, want := range row.want {
				if values, there := r.Header[name]; r.StatusCode != 200 || !there || values[0] != want {
					t.Errorf("%s, %s: %d %s: %q, want %q", dialect, row.policy, r.StatusCode, name, values, want)
				}
			}
			removed := strings.Split(r.Header.Get(headersToRemove), ",")
			if (dialect == "envoy") != (len(removed) > 1) {
				t.Errorf("%s: removes %q", dialect, removed)
			}
			for _, name := range removed {
				if row.want[http.CanonicalHeaderKey(name)] != "" {
					t.Errorf("%s: %s is set and removed", dialect, name)
				}
			}
			for _, name := range []string{"X-User-Id", "x_user_id", "X.Session", "X-SUB", "x~sub"} {
				if r, _ := ask(t, on.HTTP.Addr().String(), line, append(headers, header{name, "root"})); r.StatusCode != 403 || r.Header.Get(HeaderCode) != "spoofed_identity" {
					t.Errorf("%s, %s: %s gets %d", dialect, row.policy, name, r.StatusCode)
				}
			}
		}
		for _, raw := range []bool{false, true} {
			e := newEnvoy(t, on.GRPC.Addr().String())
			e.raw, e.extensions = raw, map[string]string{PolicyExtension: row.policy}
			request := clientRequest{method: "GET", path: row.target, host: "app.example.test", headers: append([]header{
				{"X-User-Id", "root"}, {"X_User_Id", "root"}, {"x.user.id", "root"}, {"x~session", "root"}, {"X-SUB", "root"}, {"X-User-Ids", "mine"},
			}, row.headers...)}
			e.hidden = []string{"x.user.id"}
			got := e.send(t, request)
			for name, values := range got.upstream {
				if strings.Contains(strings.Join(values, ","), "root") {
					t.Errorf("%s: the application gets %s: %q", row.policy, name, values)
				}
			}
			for name, want := range row.want {
				if values := got.upstream[strings.ToLower(name)]; want == "" && values != nil || want != "" && (len(values) != 1 || values[0] != want) {
					t.Errorf("%s: %s: %q, want %q", row.policy, name, values, want)
				}
			}
			if got.upstream["x-user-ids"] == nil {
				t.Error("a header that only resembles is removed")
			}
		}
	}
	umlaut := bearer(mint(t, signingKeys()[0], func(c *token.Claims) { c.Custom = map[string]string{"user_id": "Zoë"} }))
	for dialect, got := range verdicts(t, on, original{"shop/told", "GET", "/", []header{umlaut}}) {
		if got != "403 unusable_identity" {
			t.Errorf("%s: a claim that no header carries: %s", dialect, got)
		}
	}
}

func TestPoliciesThatNoEdgeTakes(t *testing.T) {
	good := snapshot.AccessPolicy{Name: "shop/a", Accept: []string{snapshot.AcceptJWT}}
	refused := map[string]func(*snapshot.AccessPolicy){
		"no name": func(p *snapshot.AccessPolicy) { p.Name = "" }, "no namespace": func(p *snapshot.AccessPolicy) { p.Name = "/a" },
		"reserved": func(p *snapshot.AccessPolicy) { p.Name = "-/default" }, "three parts": func(p *snapshot.AccessPolicy) { p.Name = "a/b/c" },
		"nothing accepted": func(p *snapshot.AccessPolicy) { p.Accept = nil }, "unknown credential": func(p *snapshot.AccessPolicy) { p.Accept = []string{"Basic"} },
		"empty role":       func(p *snapshot.AccessPolicy) { p.Roles = []string{""} },
		"role of a line":   func(p *snapshot.AccessPolicy) { p.Roles = []string{"a\nb"} },
		"relative login":   func(p *snapshot.AccessPolicy) { p.LoginURL = "login" },
		"login abroad":     func(p *snapshot.AccessPolicy) { p.LoginURL = "//evil.test/" },
		"login in clear":   func(p *snapshot.AccessPolicy) { p.LoginURL = "http://evil.test/" },
		"script for login": func(p *snapshot.AccessPolicy) { p.LoginURL = "javascript:alert(1)" },
		"login with line":  func(p *snapshot.AccessPolicy) { p.LoginURL = "https://a.test/\r\nX: y" },
		"login, fragment":  func(p *snapshot.AccessPolicy) { p.LoginURL = "/login#x" },
	}
	rule := func(name string, r snapshot.AccessRule) {
		refused[name] = func(p *snapshot.AccessPolicy) { p.Rules = []snapshot.AccessRule{r} }
	}
	rule("two readings", snapshot.AccessRule{Path: "/a/../b", PathType: snapshot.PathExact})
	rule("path with a query", snapshot.AccessRule{Path: "/a?b", PathType: snapshot.PathExact})
	rule("relative path", snapshot.AccessRule{Path: "a", PathType: snapshot.PathExact})
	rule("path of no type", snapshot.AccessRule{Path: "/a"})
	rule("pattern", snapshot.AccessRule{Path: "/a.*", PathType: "RegularExpression"})
	rule("small method", snapshot.AccessRule{Methods: []string{"get"}})
	rule("CONNECT", snapshot.AccessRule{Methods: []string{"CONNECT"}})
	rule("contradiction", snapshot.AccessRule{Anonymous: true, Roles: []string{"a"}})
	source := func(name string, s ...snapshot.TokenSource) {
		refused[name] = func(p *snapshot.AccessPolicy) { p.Sources = s }
	}
	source("empty source", snapshot.TokenSource{})
	source("two in one", snapshot.TokenSource{Header: "X-A", Cookie: "a"})
	source("cookie with a scheme", snapshot.TokenSource{Cookie: "a", Scheme: "Bearer"})
	source("cookie header", snapshot.TokenSource{Header: "Cookie"})
	source("identity header", snapshot.TokenSource{Header: "x_auth_user"})
	source("place twice", snapshot.TokenSource{Header: "X-A"}, snapshot.TokenSource{Header: "x-a", Scheme: "Bearer"})
	told := func(name string, h ...snapshot.UpstreamHeader) {
		refused[name] = func(p *snapshot.AccessPolicy) { p.Headers = h }
	}
	for _, name := range []string{"", "X-", "User", "X_User", "X-User\r\n", "X-Auth-User", "x-forwarded-for", "X-Original-URL", "X-Real-Ip", "X-HTTP-Method-Override", "X-Accel-Redirect", "Connection", "X.User"} {
		told("header "+name, snapshot.UpstreamHeader{Name: name, Claim: "sub"})
	}
	told("claim that is not there", snapshot.UpstreamHeader{Name: "X-Team", Claim: "team"})
	told("header twice", snapshot.UpstreamHeader{Name: "X-Team", Claim: "sub"}, snapshot.UpstreamHeader{Name: "x-TEAM", Claim: "sid"})
	refused["source that is told"] = func(p *snapshot.AccessPolicy) {
		p.Headers, p.Sources = []snapshot.UpstreamHeader{{Name: "X-Team", Claim: "sub"}}, []snapshot.TokenSource{{Header: "x-team"}}
	}
	w := newWorld(t)
	revision := int64(2)
	try := func(p ...snapshot.AccessPolicy) bool {
		doc := document(revision, 2, signingKeys()[0])
		revision++
		doc.Policies = p
		w.put(t, doc)
		return w.edges.Refused() == nil
	}
	for name, change := range refused {
		p := good
		change(&p)
		if try(p) {
			t.Errorf("%s: taken", name)
		} else if reason := w.edges.Refused().Reason; reason != "Incomplete" {
			t.Errorf("%s: %s", name, reason)
		}
	}
	if try(good, good) {
		t.Error("two of one name: taken")
	}
	if !try(append(accessPolicies(), good)...) {
		t.Errorf("refused: %+v", w.edges.Refused())
	}
}
