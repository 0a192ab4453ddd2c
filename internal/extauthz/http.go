package extauthz

import (
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// The bounds of the HTTP port. Checks have no body; whoever sends one slowly is cut off.
const (
	maxHeaderBytes    = 64 << 10
	readHeaderTimeout = 2 * time.Second
	readTimeout       = 5 * time.Second
	writeTimeout      = 5 * time.Second
	idleTimeout       = 90 * time.Second
)

// HTTP returns the server of the sub-request protocols.
func (a *Authorizer) HTTP() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(a.serveCheck),
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog(a.log),
	}
}

// serveCheck is not behind a ServeMux, which would answer some paths with a redirect.
func (a *Authorizer) serveCheck(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if fault := recover(); fault != nil {
			a.writeDenial(w, a.fault("http", fault))
		}
	}()
	q, d := readHTTP(r)
	out := a.decide(r.Context(), q)
	if out.Allow {
		writeAllow(w, out, d)
		return
	}
	a.writeDenial(w, out)
}

// writeAllow sets every identity header, also an empty one: some proxies keep the client's where it is absent.
func writeAllow(w http.ResponseWriter, out outcome, d dialect) {
	h := w.Header()
	identity := out.identity()
	for _, f := range identity {
		h.Set(f.name, f.value)
	}
	if d.removes {
		h.Set(headersToRemove, removedByEnvoy(identity, out.remove))
	}
	for _, line := range out.announcement {
		h.Set(line.Name, line.Value)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

func (a *Authorizer) writeDenial(w http.ResponseWriter, out outcome) {
	body := problemBody(out)
	h := w.Header()
	for _, name := range policy.IdentityHeaders {
		h.Del(name)
	}
	for _, f := range denialHeaders(out) {
		h.Set(f.name, f.value)
	}
	h.Set("Content-Type", problemType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(out.HTTPStatus())
	_, _ = w.Write(body) // the proxy is gone: nothing is forwarded
}

// fault turns a panic into a denial. What was panicked with may hold anything, so only its type and place are logged.
func (a *Authorizer) fault(protocol string, fault any) outcome {
	out := outcome{Decision: policy.Deny(policy.InternalError), id: a.nextID()}
	a.metrics.decided(protocol, out.Decision, 0)
	text := fmt.Sprintf("%T", fault)
	if err, ok := fault.(runtime.Error); ok {
		text = err.Error()
	}
	a.log.Error("panic", "decision", out.id, "protocol", protocol, "fault", text, "at", faultPlace())
	return out
}

// faultPlace names the functions that were running, without their arguments.
func faultPlace() []string {
	pcs := make([]uintptr, 24)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)])
	var place []string
	for {
		frame, more := frames.Next()
		place = append(place, frame.Function+":"+strconv.Itoa(frame.Line))
		if !more {
			return place
		}
	}
}

// headersToRemove is the header of an answer by which Envoy removes headers of the request, after those that it sets.
const headersToRemove = "X-Envoy-Auth-Headers-To-Remove"

// removedByEnvoy names what must not reach the application, for a proxy that shows the authorizer only some headers of
// the request: the other spellings, and what has no value.
func removedByEnvoy(identity []field, others []string) string {
	remove := append(slices.Clone(aliases), others...)
	for _, f := range identity {
		if f.value == "" {
			remove = append(remove, strings.ToLower(f.name))
		}
	}
	return strings.Join(remove, ",")
}

// httpHeaders are all headers of a sub-request.
type httpHeaders http.Header

func (h httpHeaders) each(f func(name, value string)) {
	for name, values := range h {
		for _, value := range values {
			f(name, value)
		}
	}
}

// readHTTP reads the question of a sub-request. The path alone says which dialect and which policy; it is read as it was
// sent, because what stands behind the policy is the client's.
func readHTTP(r *http.Request) (question, dialect) {
	q := question{
		protocol: "http", peer: remoteAddr(r), authorization: r.Header["Authorization"], page: readPage(r.Header), agent: r.Header.Get("User-Agent"),
		headers: httpHeaders(r.Header), hides: true,
	}
	for name := range r.Header {
		if isIdentity(name) {
			q.refusal = policy.SpoofedIdentity
		}
	}
	path, query, asked := strings.Cut(r.RequestURI, "?")
	parts := strings.SplitN(path, "/", 6)
	if len(parts) < 5 || parts[0] != "" || parts[1] != "authz" {
		return q, dialect{} // names no policy
	}
	d, known := dialects[parts[2]]
	if !known || d.prefix != (len(parts) == 6) {
		return q, dialect{}
	}
	q.protocol, q.policy, q.plain = parts[2], parts[3]+"/"+parts[4], d.plain
	rest := ""
	if d.prefix {
		if rest = "/" + parts[5]; asked {
			rest += "?" + query
		}
	}
	if reason := d.read(r, rest, &q); reason != "" {
		q.refusal = reason
	}
	return q, d
}

func remoteAddr(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr()
}
