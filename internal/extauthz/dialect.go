package extauthz

import (
	"net/http"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// dialects are the ways in which proxies describe the original request to the HTTP port. Each reads its own headers and
// no others.
var dialects = map[string]func(*http.Request, *question) policy.Reason{
	"nginx": readNginx,
}

// readNginx reads what an auth_request recipe sets: `X-Original-Method` and `X-Original-URL`, each exactly once. The
// host of the URL must be the one that nginx routes by (`$host`, sent as Host): in an absolute-form request
// `$http_host` is another one, of the client's choice.
func readNginx(r *http.Request, q *question) policy.Reason {
	method, hasMethod := only(r, "X-Original-Method")
	original, hasURL := only(r, "X-Original-Url")
	if !hasMethod || !hasURL {
		return policy.MissingDialectHeader
	}
	authority, target, ok := splitURL(original)
	q.method, q.host, q.target = method, authority, target
	q.scheme, _, _ = strings.Cut(original, ":")
	if !ok || !sameHost(authority, r.Host) {
		return policy.BadRequestTarget
	}
	return checkTarget(method, target)
}

// only returns the value of a header that was sent exactly once. name is in canonical form.
func only(r *http.Request, name string) (string, bool) {
	values := r.Header[name]
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

// splitURL takes an absolute http(s) URL apart without decoding: the path is to stay as the client sent it, and the
// standard library refuses some that nginx forwards.
func splitURL(raw string) (authority, target string, ok bool) {
	rest, found := strings.CutPrefix(raw, "https://")
	if !found {
		if rest, found = strings.CutPrefix(raw, "http://"); !found {
			return "", raw, false
		}
	}
	i := strings.IndexAny(rest, "/?#")
	if i < 0 {
		return rest, "", false
	}
	authority, target = rest[:i], rest[i:]
	return authority, target, authority != "" && !strings.ContainsAny(authority, "@\\ ")
}

// sameHost compares two authorities without regard to case. A port counts only if both have one.
func sameHost(a, b string) bool {
	hostA, portA := splitPort(a)
	hostB, portB := splitPort(b)
	if hostA == "" || !strings.EqualFold(hostA, hostB) {
		return false
	}
	return portA == portB || portA == "" || portB == ""
}

func splitPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.HasSuffix(authority, "]") {
		return authority, ""
	}
	return authority[:i], authority[i+1:]
}
