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

// The bounds of the HTTP port. Checks have no body; whoever sends one slowly is cut off, up to boundsPeriod later: see
// package deadline.
const (
	maxHeaderBytes = 64 << 10
	readTimeout    = 2 * time.Second // of the header, which is all there is
	writeTimeout   = 5 * time.Second
	idleTimeout    = 90 * time.Second
	boundsPeriod   = 250 * time.Millisecond
)

// HTTP returns the server of the sub-request protocols.
func (a *Authorizer) HTTP() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(a.serveCheck),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
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

// Values of headers that are the same in every answer. net/http changes none.
var noStore, noLength, problemTypes, isAllowed = []string{"no-store"}, []string{"0"}, []string{problemType}, []string{"true"}

// writeAllow sets every identity header, also an empty one: some proxies keep the client's where it is absent. Names are
// in canonical form.
func writeAllow(w http.ResponseWriter, out outcome, d dialect) {
	h := w.Header()
	values := [...]string{out.User, out.Role, string(out.Method)}
	for i, name := range policy.IdentityHeaders {
		h[name] = values[i : i+1 : i+1]
	}
	for _, f := range out.told {
		h.Set(f.name, f.value)
	}
	if d.removes {
		h.Set(headersToRemove, removedByEnvoy(out.identity(), out.remove))
	}
	for _, line := range out.announcement {
		h.Set(line.Name, line.Value)
	}
	h["Cache-Control"], h["Content-Length"], h[HeaderAllowed] = noStore, noLength, isAllowed
	w.WriteHeader(http.StatusOK)
}

func (a *Authorizer) writeDenial(w http.ResponseWriter, out outcome) {
	body := appendProblem(make([]byte, 0, problemRoom), out)
	h := w.Header()
	for _, name := range policy.IdentityHeaders {
		delete(h, name)
	}
	delete(h, HeaderAllowed)
	var room [denialFields]field
	for _, f := range appendDenialHeaders(room[:0], out) {
		h.Set(f.name, f.value)
	}
	h["Content-Type"], h["Content-Length"] = problemTypes, []string{strconv.Itoa(len(body))}
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
	q := question{protocol: "http", peer: remoteAddr(r), headers: httpHeaders(r.Header), hides: true}
	q.readHeaders(r.Header)
	named, inPath := strings.CutPrefix(r.RequestURI, "/authz/")
	path, query, asked := strings.Cut(named, "?")
	word, path, more := strings.Cut(path, "/")
	namespace, rest, complete := strings.Cut(path, "/")
	name, rest, prefix := strings.Cut(rest, "/")
	d, known := dialects[word]
	if !inPath || !more || !complete || !known || d.prefix != prefix {
		return q, dialect{} // names no policy
	}
	q.protocol, q.policy, q.plain = word, path[:len(namespace)+1+len(name)], d.plain
	if !d.prefix {
		rest = ""
	} else if rest = "/" + rest; asked {
		rest += "?" + query
	}
	if reason := d.read(r, rest, &q); reason != "" {
		q.refusal = reason
	}
	return q, d
}

// readHeaders takes what matters of the headers of a sub-request, whose names are in canonical form.
func (q *question) readHeaders(h http.Header) {
	for name, values := range h {
		switch name {
		case "Authorization":
			q.authorization = values
		case "User-Agent":
			if len(values) > 0 {
				q.agent = values[0]
			}
		default:
			if !q.page.take(name, values) && isIdentity(name) {
				q.refusal = policy.SpoofedIdentity
			}
		}
	}
}

func remoteAddr(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr()
}
