package extauthz

import (
	"net/http"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// dialect is a way in which a proxy describes the original request to the HTTP port.
type dialect struct {
	// read reads the dialect's own headers and no others. rest is what stands behind the policy in the target.
	read func(r *http.Request, rest string, q *question) policy.Reason
	// plain: the proxy cannot carry other statuses than 200, 401 and 403.
	plain bool
	// prefix: the original target stands behind the policy.
	prefix bool
	// removes: the proxy removes the headers that the answer names.
	removes bool
}

// dialects are those that there are, by their word in the path.
var dialects = map[string]dialect{
	"nginx":         {read: readNginx, plain: true},
	"ingress-nginx": {read: readIngressNginx, plain: true},
	"traefik":       {read: readForwarded},
	"caddy":         {read: readForwarded},
	"haproxy":       {read: readForwarded},
	"envoy":         {read: readEnvoy, prefix: true, removes: true},
}

// readForwarded reads what Traefik, Caddy and the recipe for HAProxy send: `X-Forwarded-Method`, `-Proto`, `-Host` and
// `-Uri`, each exactly once. Traefik tells of a WebSocket handshake by the scheme.
func readForwarded(r *http.Request, _ string, q *question) policy.Reason {
	method, hasMethod := only(r, "X-Forwarded-Method")
	proto, hasProto := only(r, "X-Forwarded-Proto")
	host, hasHost := only(r, "X-Forwarded-Host")
	target, hasTarget := only(r, "X-Forwarded-Uri")
	if !hasMethod || !hasProto || !hasHost || !hasTarget {
		return policy.MissingDialectHeader
	}
	q.method, q.host, q.target = method, host, target
	switch strings.ToLower(proto) {
	case "https":
		q.scheme = "https"
	case "http":
		q.scheme = "http"
	case "wss":
		q.scheme, q.page.upgrade = "https", true
	case "ws":
		q.scheme, q.page.upgrade = "http", true
	default:
		return policy.BadRequestTarget
	}
	if !isHost(host) {
		return policy.BadRequestTarget
	}
	return checkTarget(method, target)
}

// readEnvoy reads the request line, whose path stands behind the policy's, and Host. The scheme is not told: cookies with
// tokens are for https, so an Origin is compared with that.
func readEnvoy(r *http.Request, rest string, q *question) policy.Reason {
	q.method, q.scheme, q.host, q.target = r.Method, "https", r.Host, rest
	if !isHost(r.Host) {
		return policy.BadRequestTarget
	}
	return checkTarget(r.Method, rest)
}

// isHost tells whether s can be the host of a request, with or without a port.
func isHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && strings.IndexByte("-._~:[]%", c) < 0 {
			return false
		}
	}
	return s != ""
}

// readNginx reads what an auth_request recipe sets, as [readOriginal] does. The host of the URL must be the one that nginx
// routes by (`$host`, sent as Host): in an absolute-form request `$http_host` is another one, of the client's choice.
func readNginx(r *http.Request, _ string, q *question) policy.Reason {
	if reason := readOriginal(r, q); reason != "" {
		return reason
	}
	if !sameHost(q.host, r.Host) {
		return policy.BadRequestTarget
	}
	return ""
}

// readIngressNginx reads what the ingress-nginx controller sets, as [readOriginal] does. Its Host is the authorizer's own,
// and its URL is made of `$http_host`, so that there is nothing to compare: in an absolute-form request the host is the
// client's word. It chooses no policy; pages of other sites cannot send such a request.
func readIngressNginx(r *http.Request, _ string, q *question) policy.Reason {
	if reason := readOriginal(r, q); reason != "" {
		return reason
	}
	if !isHost(q.host) {
		return policy.BadRequestTarget
	}
	return ""
}

// readOriginal reads `X-Original-Method` and `X-Original-URL`, each exactly once.
func readOriginal(r *http.Request, q *question) policy.Reason {
	method, hasMethod := only(r, "X-Original-Method")
	original, hasURL := only(r, "X-Original-Url")
	if !hasMethod || !hasURL {
		return policy.MissingDialectHeader
	}
	authority, target, ok := splitURL(original)
	q.method, q.host, q.target = method, authority, target
	q.scheme, _, _ = strings.Cut(original, ":")
	if !ok {
		return policy.BadRequestTarget
	}
	return checkTarget(method, target)
}

// isMethod tells whether s is a method that can be asked about. Methods are compared with regard to case, and all that are
// registered are in capitals (RFC 9110, section 9.1); but many applications take `delete` for DELETE, which a rule about
// DELETE would not match.
func isMethod(s string) bool {
	for i := range len(s) {
		if s[i] >= 'a' && s[i] <= 'z' {
			return false
		}
	}
	return s != "CONNECT" && isToken(s)
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
	hostA, hostB = strings.TrimSuffix(hostA, "."), strings.TrimSuffix(hostB, ".")
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
