package extauthz

import (
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
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
	out := a.decide(r.Context(), readHTTP(r))
	if out.Allow {
		writeAllow(w, out)
		return
	}
	a.writeDenial(w, out)
}

// writeAllow sets every identity header, also an empty one: some proxies keep the client's where it is absent.
func writeAllow(w http.ResponseWriter, out outcome) {
	h := w.Header()
	for _, f := range out.identity() {
		h.Set(f.name, f.value)
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

// readHTTP reads the question of a sub-request. The path alone says which dialect and which policy.
func readHTTP(r *http.Request) question {
	q := question{protocol: "http", peer: remoteAddr(r), authorization: r.Header["Authorization"], page: readPage(r.Header), agent: r.Header.Get("User-Agent")}
	for name := range r.Header {
		if isIdentity(name) {
			q.refusal = policy.SpoofedIdentity
		}
	}
	parts := strings.Split(r.URL.EscapedPath(), "/")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "authz" {
		return q // names no policy
	}
	read, known := dialects[parts[2]]
	if !known {
		return q
	}
	q.protocol, q.policy = parts[2], parts[3]+"/"+parts[4]
	if reason := read(r, &q); reason != "" {
		q.refusal = reason
	}
	return q
}

func remoteAddr(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr()
}
