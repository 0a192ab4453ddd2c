package checkwire

import (
	"math/rand/v2"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func option(h Header, added bool) *core.HeaderValueOption {
	o := &core.HeaderValueOption{Header: &core.HeaderValue{Key: h.Name, Value: h.Value}, Append: wrapperspb.Bool(added), AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD} //nolint:staticcheck // deprecated, and still read
	if added {
		o.AppendAction = core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	}
	return o
}

func options(headers []Header) (all []*core.HeaderValueOption) {
	for _, h := range headers {
		all = append(all, option(h, false))
	}
	return all
}

func headers(r *rand.Rand) (all []Header) {
	for range r.IntN(5) {
		all = append(all, Header{[]string{"x-auth-user", "", "a"}[r.IntN(3)], strings.Repeat("v", []int{0, 1, 100, 127, 128, 20_000}[r.IntN(6)])})
	}
	return all
}

// What is written is what the generated types would have written, byte for byte where protobuf says how, and in meaning
// everywhere.
func TestAnswersAsProtobuf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range soak(2000, 200_000) {
		set, always, remove, answered := headers(r), []string{"x_auth_user", ""}[:r.IntN(3)], []string{"x.auth.user", strings.Repeat("n", 200)}[:r.IntN(3)], headers(r)
		ok := &auth.OkHttpResponse{Headers: options(set), HeadersToRemove: append(append([]string{}, always...), remove...)}
		parts := []Part{Removed(always...), {}}
		for i, h := range answered {
			ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, option(h, i%2 == 0))
			parts = append(parts, Answered(h, i%2 == 0))
		}
		compareAnswer(t, AppendAllowed([]byte("before"), set, remove, parts...), &auth.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok}})

		d := Denial{Code: uint32(r.IntN(20)), Message: []string{"", "no_credential"}[r.IntN(2)], HTTPStatus: []uint32{0, 302, 401, 503}[r.IntN(4)], Headers: headers(r), Body: strings.Repeat("b", r.IntN(300))}
		compareAnswer(t, AppendDenied([]byte("before"), d), &auth.CheckResponse{
			Status: &rpcstatus.Status{Code: int32(d.Code), Message: d.Message},
			HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
				Status: &envoytype.HttpStatus{Code: envoytype.StatusCode(d.HTTPStatus)}, Headers: options(d.Headers), Body: d.Body,
			}},
		})
	}
}

func compareAnswer(t *testing.T, got []byte, want *auth.CheckResponse) {
	t.Helper()
	var read auth.CheckResponse
	if string(got[:6]) != "before" {
		t.Fatal("what was there is gone")
	}
	if err := proto.Unmarshal(got[6:], &read); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&read, want) || len(got)-6 != proto.Size(want) {
		t.Fatalf("%d bytes\n%v\nwant %d\n%v", len(got)-6, &read, proto.Size(want), want)
	}
}
