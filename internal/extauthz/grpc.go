package extauthz

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
)

// PolicyExtension is the context extension that names the policy, as `<namespace>/<name>`. Only the proxy's
// configuration can set it.
const PolicyExtension = "keyturn.dev/policy"

// The bounds of the gRPC port.
const (
	maxMessageBytes   = 1 << 20 // a proxy may send a part of the body along
	maxStreams        = 512     // checks at work on one connection; a proxy with more opens another
	connectionTimeout = 5 * time.Second
)

// GRPC returns the server of Envoy's protocol, with the standard health service. It serves no reflection.
func (a *Authorizer) GRPC() *grpc.Server {
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxHeaderListSize(maxHeaderBytes), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(connectionTimeout), grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))), //nolint:gosec // small
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute, // so that proxies find new replicas
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	auth.RegisterAuthorizationServer(s, checker{a: a})
	grpc_health_v1.RegisterHealthServer(s, health{a: a})
	return s
}

// checker implements envoy.service.auth.v3.Authorization. It never returns a gRPC error: to a proxy that is set to
// fail open, an error would be an allow.
type checker struct {
	auth.UnimplementedAuthorizationServer
	a *Authorizer
}

func (c checker) Check(ctx context.Context, r *auth.CheckRequest) (answer *auth.CheckResponse, err error) {
	grpcRequest := false
	defer func() {
		if fault := recover(); fault != nil {
			answer, err = denied(c.a.fault("grpc", fault), grpcRequest), nil
		}
	}()
	headers := readHeaders(r.GetAttributes().GetRequest().GetHttp())
	grpcRequest = headers.grpc
	out := c.a.decide(ctx, readGRPC(ctx, r, headers))
	if out.Allow {
		return allowed(out, headers.identity), nil
	}
	return denied(out, grpcRequest), nil
}

// readGRPC reads the question of a Check.
func readGRPC(ctx context.Context, r *auth.CheckRequest, headers seenHeaders) question {
	attributes := r.GetAttributes()
	request := attributes.GetRequest().GetHttp()
	return question{
		protocol: "grpc", policy: attributes.GetContextExtensions()[PolicyExtension], peer: remotePeer(ctx),
		refusal: checkTarget(request.GetMethod(), request.GetPath()), authorization: headers.authorization,
		method: request.GetMethod(), scheme: request.GetScheme(), host: request.GetHost(), target: request.GetPath(), page: headers.page, agent: headers.agent,
		headers: envoyHeaders{request},
	}
}

// remotePeer is who asks: the TCP peer of the call, not the client of the proxy that the call describes.
func remotePeer(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	tcp, ok := p.Addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr()
}

// seenHeaders is what matters of a request's headers.
type seenHeaders struct {
	authorization []string
	page          page
	agent         string
	// identity are the names, as sent, that an application could take for an identity header.
	identity []string
	grpc     bool
}

// envoyHeaders are all headers of a Check, in both forms.
type envoyHeaders struct {
	request *auth.AttributeContext_HttpRequest
}

func (h envoyHeaders) each(f func(name, value string)) {
	for name, value := range h.request.GetHeaders() {
		f(name, value)
	}
	for _, one := range h.request.GetHeaderMap().GetHeaders() {
		if raw := one.GetRawValue(); len(raw) > 0 {
			f(one.GetKey(), string(raw))
		} else {
			f(one.GetKey(), one.GetValue())
		}
	}
}

// readHeaders reads both forms in which Envoy sends headers: a map with the values of one name joined by a comma, or,
// with encode_raw_headers, a list of raw ones.
func readHeaders(r *auth.AttributeContext_HttpRequest) seenHeaders {
	var seen seenHeaders
	for name, value := range r.GetHeaders() {
		seen.add(name, value)
	}
	for _, h := range r.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		seen.add(h.GetKey(), value)
	}
	return seen
}

func (s *seenHeaders) add(name, value string) {
	switch {
	case strings.EqualFold(name, "authorization"):
		s.authorization = append(s.authorization, value)
	case strings.EqualFold(name, "content-type"):
		s.grpc = strings.HasPrefix(strings.ToLower(value), "application/grpc")
	case strings.EqualFold(name, "user-agent"):
		s.agent = value
	case s.page.add(name, value):
	case isIdentity(name) && isToken(name):
		s.identity = append(s.identity, strings.ToLower(name))
	}
}

// option sets a header whatever the request has. Both fields are needed: Envoy versions differ in which one they read,
// and the zero value of the action appends.
func option(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: name, Value: value},
		Append:       noAppend, //nolint:staticcheck // deprecated, and still read
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
