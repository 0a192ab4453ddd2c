package extauthz

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/keyturn/keyturn/internal/checkwire"
	"github.com/keyturn/keyturn/internal/policy"
)

// PolicyExtension is the context extension that names the policy, as `<namespace>/<name>`. Only the proxy's
// configuration can set it.
const PolicyExtension = "keyturn.dev/policy"

// The bounds of the gRPC port.
const (
	// maxMessageBytes bounds a Check: a proxy may send a part of the body along. A larger one ends in a gRPC error, since
	// grpc-go refuses it by its length, before the codec and any handler; to answer by a denial, it would have to be read.
	maxMessageBytes   = 1 << 20
	connectionTimeout = 5 * time.Second
	// streamWorkers are goroutines that answer one check after the other: a new one for each would grow its stack anew,
	// which costs a tenth of the check. Where more run at once, the rest get new ones.
	streamWorkers = 64
	// window is what a proxy may send ahead. It is fixed: to estimate a better one, grpc-go would ping the proxy.
	window = maxMessageBytes
)

// rpcBounds are those that a test makes smaller.
type rpcBounds struct {
	streams uint32 // checks at work on one connection; a proxy with more opens another
	// age is when a connection ends, so that proxies find new replicas; what runs then may go on for the grace.
	age, ageGrace time.Duration
	// A connection on which nothing comes for idle is asked whether it lives, and ends without an answer within the wait.
	idle, wait time.Duration
	// pings is how often a proxy may ask that itself.
	pings time.Duration
}

var usualBounds = rpcBounds{
	streams: 512, age: 30 * time.Minute, ageGrace: time.Minute, idle: time.Minute, wait: 20 * time.Second, pings: 10 * time.Second,
}

// GRPC returns the server of Envoy's protocol, with the standard health service. It serves no reflection.
func (a *Authorizer) GRPC() *grpc.Server { return a.serverOf(usualBounds) }

func (a *Authorizer) serverOf(b rpcBounds) *grpc.Server {
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}),
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxHeaderListSize(maxHeaderBytes), grpc.MaxConcurrentStreams(b.streams),
		grpc.ConnectionTimeout(connectionTimeout), grpc.NumStreamWorkers(streamWorkers),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: b.age, MaxConnectionAgeGrace: b.ageGrace, Time: b.idle, Timeout: b.wait,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: b.pings, PermitWithoutStream: true}),
	)
	s.RegisterService(&service, checker{a: a})
	grpc_health_v1.RegisterHealthServer(s, health{a: a})
	return s
}

// service is envoy.service.auth.v3.Authorization without its generated types: see package checkwire.
var service = grpc.ServiceDesc{
	ServiceName: "envoy.service.auth.v3.Authorization",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: handleCheck}},
	Metadata:    "envoy/service/auth/v3/external_auth.proto",
}

// checker answers Checks. It never returns a gRPC error: to a proxy that is set to fail open, an error would be an allow.
type checker struct{ a *Authorizer }

func handleCheck(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order is grpc-go's
	request := requests.Get().(*incoming)
	if decode(request) != nil { // cannot be: see codec
		request.Reset()
		request.Malformed = true
	}
	answer, kept := server.(checker).check(ctx, &request.Request)
	request.recycle(kept)
	return answer, nil
}

// check answers. kept tells that texts of the request may be needed longer.
func (c checker) check(ctx context.Context, request *checkwire.Request) (answer reply, kept bool) {
	grpcRequest := false
	defer func() {
		if fault := recover(); fault != nil {
			answer, kept = denied(c.a.fault("grpc", fault), grpcRequest), true
		}
	}()
	headers := readHeaders(request)
	grpcRequest = headers.grpc
	out := c.a.decide(ctx, readGRPC(ctx, request, headers))
	if out.Allow {
		return allowed(out, headers.identity), out.kept
	}
	return denied(out, grpcRequest), out.kept
}

// readGRPC reads the question of a Check.
func readGRPC(ctx context.Context, r *checkwire.Request, headers seenHeaders) question {
	q := question{
		protocol: "grpc", policy: r.Extension(PolicyExtension), peer: remotePeer(ctx),
		refusal: checkTarget(r.Method, r.Path), authorization: headers.authorization,
		method: r.Method, scheme: r.Scheme, host: r.Host, target: r.Path, page: headers.page, agent: headers.agent,
		headers: envoyHeaders{r},
	}
	if r.Malformed {
		q.refusal = policy.BadRequestTarget
	}
	return q
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
type envoyHeaders struct{ request *checkwire.Request }

func (h envoyHeaders) each(f func(name, value string)) {
	for _, one := range h.request.Headers {
		f(one.Name, one.Value)
	}
	for _, one := range h.request.HeaderMap {
		f(one.Name, one.Value)
	}
}

// readHeaders reads both forms in which Envoy sends headers: a map with the values of one name joined by a comma, or,
// with encode_raw_headers, a list of raw ones.
func readHeaders(r *checkwire.Request) seenHeaders {
	var seen seenHeaders
	for _, h := range r.Headers {
		seen.add(h.Name, h.Value)
	}
	for _, h := range r.HeaderMap {
		seen.add(h.Name, h.Value)
	}
	return seen
}

func (s *seenHeaders) add(name, value string) {
	switch { // by the length first, which is right for few
	case len(name) == len("authorization") && strings.EqualFold(name, "authorization"):
		s.authorization = append(s.authorization, value)
	case len(name) == len("content-type") && strings.EqualFold(name, "content-type"):
		s.grpc = strings.HasPrefix(strings.ToLower(value), "application/grpc")
	case len(name) == len("user-agent") && strings.EqualFold(name, "user-agent"):
		s.agent = value
	case s.page.add(name, value):
	case isIdentity(name) && isToken(name):
		s.identity = append(s.identity, strings.ToLower(name))
	}
}
