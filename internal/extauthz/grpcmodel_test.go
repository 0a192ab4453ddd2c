package extauthz

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keyturn/keyturn/internal/checkwire"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/steering"
)

// The answers as they would be made of the generated types: what is written is held against these.

var noAppend, doAppend = wrapperspb.Bool(false), wrapperspb.Bool(true)

// modelAllowed makes the answer that lets a request through. Envoy sets headers in order and removes last, so a header that
// is set is never in the list of the removed; one that has no value is removed, because an empty one cannot be set.
func modelAllowed(out outcome, seen []string) *auth.CheckResponse {
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

// modelDenied makes the answer that stops a request. For a gRPC request Envoy makes trailers of it, into which a content
// type and a body do not fit.
func modelDenied(out outcome, grpcRequest bool) *auth.CheckResponse {
	denial := &auth.DeniedHttpResponse{Status: &envoytype.HttpStatus{Code: envoytype.StatusCode(out.HTTPStatus())}} //nolint:gosec // 401, 403 or 503
	for _, f := range appendDenialHeaders(nil, out) {
		denial.Headers = append(denial.Headers, option(strings.ToLower(f.name), f.value))
	}
	if !grpcRequest {
		denial.Headers = append(denial.Headers, option("content-type", problemType))
		denial.Body = string(appendProblem(nil, out))
	}
	return &auth.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(rpcCode(out.HTTPStatus())), Message: string(out.Code)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: denial},
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

// Check is a call without a network.
func (c checker) Check(ctx context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	raw, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	var request checkwire.Request
	request.Read(raw)
	answer := new(auth.CheckResponse)
	encoded, _ := c.check(ctx, &request)
	return answer, proto.Unmarshal(*encoded, answer)
}

func TestAnswersAreThoseOfTheGeneratedTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	value := func() string {
		return []string{"", "ann", "admin", strings.Repeat("long ", 60) + "x"}[r.IntN(4)]
	}
	names := []string{"x_auth_user", "x.auth.role", "x-auth-user", "x-auth-role", "x~auth~user", "x-auth_method", "x-tenant", "x_tenant"}
	some := func() (all []string) {
		for range r.IntN(5) {
			all = append(all, names[r.IntN(len(names))])
		}
		return all
	}
	for range 3000 {
		out := outcome{Decision: policy.Decision{Allow: true, User: value(), Role: value(), Method: policy.Method(value())}, remove: some()}
		for i := range r.IntN(12) {
			out.told = append(out.told, field{"X-Told-" + string(rune('A'+i)), value()})
		}
		for _, name := range []string{"Deprecation", "Sunset", "Link"}[:r.IntN(4)] {
			out.announcement = append(out.announcement, steering.Header{Name: name, Value: value()})
		}
		seen := some()
		compareAnswers(t, allowed(out, seen), modelAllowed(out, seen))

		reasons := []policy.Reason{policy.NoCredential, policy.BadSignature, policy.NotReady, policy.NoPolicy, policy.InsufficientRole, policy.InternalError}
		out.Decision, out.id, out.challenge = policy.Deny(reasons[r.IntN(len(reasons))]), "id-1", `Bearer realm="x"`
		if r.IntN(4) == 0 {
			out.LoginURL, out.location = "/login", "/login?return=%2F"
		}
		grpcRequest := r.IntN(2) == 0
		compareAnswers(t, denied(out, grpcRequest), modelDenied(out, grpcRequest))
	}
}

func compareAnswers(t *testing.T, got reply, want *auth.CheckResponse) {
	t.Helper()
	var read auth.CheckResponse
	check(t, proto.Unmarshal(*got, &read))
	if !proto.Equal(&read, want) {
		t.Fatalf("%v\nwant %v", &read, want)
	}
}
