package extauthz

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/steering"
)

var noAppend, doAppend = wrapperspb.Bool(false), wrapperspb.Bool(true)

// aliases are the spellings of the identity headers that are always removed, for proxies that do not show the
// authorizer every header of the request.
var aliases = aliasesOf(policy.IdentityHeaders[:])

func aliasesOf(names []string) []string {
	var all []string
	for _, name := range names {
		lower := strings.ToLower(name)
		all = append(all, strings.ReplaceAll(lower, "-", "_"), strings.ReplaceAll(lower, "-", "."))
	}
	return all
}

// allowed makes the answer that lets a request through. Envoy sets headers in order and removes last, so a header that
// is set is never in the list of the removed; one that has no value is removed, because an empty one cannot be set.
func allowed(out outcome, seen []string) *auth.CheckResponse {
	ok := &auth.OkHttpResponse{}
	var set []string
	remove := slices.Clone(aliases)
	for _, f := range out.identity() {
		name := strings.ToLower(f.name)
		if f.value == "" {
			remove = append(remove, name)
			continue
		}
		set = append(set, name)
		ok.Headers = append(ok.Headers, option(name, f.value))
	}
	for _, name := range append(slices.Clone(seen), out.remove...) {
		if !slices.Contains(set, name) && !slices.Contains(remove, name) {
			remove = append(remove, name)
		}
	}
	ok.HeadersToRemove = remove
	for _, line := range out.announcement {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, announced(line))
	}
	return &auth.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok},
	}
}

// announced adds to the answer of the application. It may have links of its own, which stay; of the others there is one.
func announced(line steering.Header) *core.HeaderValueOption {
	o := option(strings.ToLower(line.Name), line.Value)
	if line.Name == "Link" {
		o.Append = doAppend //nolint:staticcheck // deprecated, and still read
		o.AppendAction = core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	}
	return o
}

// denied makes the answer that stops a request. For a gRPC request Envoy makes trailers of it, into which a content
// type and a body do not fit.
func denied(out outcome, grpcRequest bool) *auth.CheckResponse {
	denial := &auth.DeniedHttpResponse{Status: &envoytype.HttpStatus{Code: envoytype.StatusCode(out.HTTPStatus())}} //nolint:gosec // 401, 403 or 503
	for _, f := range denialHeaders(out) {
		denial.Headers = append(denial.Headers, option(strings.ToLower(f.name), f.value))
	}
	if !grpcRequest {
		denial.Headers = append(denial.Headers, option("content-type", problemType))
		denial.Body = string(problemBody(out))
	}
	return &auth.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(rpcCode(out.HTTPStatus())), Message: string(out.Code)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: denial},
	}
}

// rpcCode is never OK: that would allow whatever else the answer says.
func rpcCode(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	default:
		return codes.PermissionDenied
	}
}

// healthInterval is how often a watcher of the health service is looked after.
const healthInterval = time.Second

// health is the standard gRPC health service: serving if and only if the replica is ready.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	a *Authorizer
}

func (h health) answer() *grpc_health_v1.HealthCheckResponse {
	if h.a.Ready() != nil {
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
}

func (h health) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return h.answer(), nil
}

func (h health) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	last := grpc_health_v1.HealthCheckResponse_UNKNOWN
	for {
		if next := h.answer(); next.GetStatus() != last {
			last = next.GetStatus()
			if err := stream.Send(next); err != nil {
				return err
			}
		}
		if h.a.draining.Load() {
			return status.Error(codes.Unavailable, "draining") // a watcher must not hold up the end
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-tick.C:
		}
	}
}
