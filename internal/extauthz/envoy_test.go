package extauthz

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// envoy is the part of Envoy's ext_authz filter that matters: it makes a CheckRequest of a client's request as the
// filter does, asks over real gRPC, and applies the answer in the filter's order.
type envoy struct {
	client auth.AuthorizationClient
	conn   *grpc.ClientConn
	// raw is encode_raw_headers: the list instead of the map.
	raw bool
	// extensions are the route's context_extensions.
	extensions map[string]string
	// hidden are headers that allowed_headers keeps from the authorizer.
	hidden []string
}

func newEnvoy(t testing.TB, address string) *envoy {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &envoy{client: auth.NewAuthorizationClient(conn), conn: conn, extensions: map[string]string{PolicyExtension: "-/default"}}
}

type header struct{ name, value string }

type clientRequest struct {
	method, path, host string
	headers            []header
}

func get(headers ...header) clientRequest {
	return clientRequest{method: "GET", path: "/orders?id=1", host: "app.example.test", headers: headers}
}

func bearer(raw string) header { return header{"Authorization", "Bearer " + raw} }

// result is what becomes of the client's request.
type result struct {
	// upstream is what the application receives; nil if it receives nothing.
	upstream map[string][]string
	status   int
	headers  map[string]string
	body     string
}

func (e *envoy) request(r clientRequest) *auth.CheckRequest {
	h := &auth.AttributeContext_HttpRequest{Id: "1", Method: r.method, Path: r.path, Host: r.host, Scheme: "https", Protocol: "HTTP/1.1", Size: -1}
	all := append([]header{{":method", r.method}, {":path", r.path}, {":authority", r.host}, {":scheme", "https"}}, r.headers...)
	if e.raw {
		h.HeaderMap = &core.HeaderMap{}
	} else {
		h.Headers = map[string]string{}
	}
	for _, x := range all {
		name := strings.ToLower(x.name)
		switch {
		case slices.Contains(e.hidden, name):
		case e.raw:
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &core.HeaderValue{Key: name, RawValue: []byte(x.value)})
		default:
			if old, twice := h.Headers[name]; twice {
				h.Headers[name] = old + "," + x.value
			} else {
				h.Headers[name] = x.value
			}
		}
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Request:           &auth.AttributeContext_Request{Http: h, Time: nil},
		ContextExtensions: maps.Clone(e.extensions),
	}}
}

// send is one client request through the proxy.
func (e *envoy) send(t testing.TB, r clientRequest) result {
	t.Helper()
	answer, err := e.client.Check(t.Context(), e.request(r))
	if err != nil {
		t.Fatalf("a gRPC error, which a proxy that fails open lets through: %v", err)
	}
	out, err := apply(r, answer)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apply(r clientRequest, answer *auth.CheckResponse) (result, error) {
	if answer.GetStatus() == nil || answer.GetHttpResponse() == nil {
		return result{}, fmt.Errorf("an empty answer allows: %v", answer)
	}
	if answer.GetErrorResponse() != nil {
		return result{}, fmt.Errorf("an error answer is subject to failure_mode_allow")
	}
	if answer.GetStatus().GetCode() != 0 {
		denial := answer.GetDeniedResponse()
		if denial == nil || answer.GetOkResponse() != nil {
			return result{}, fmt.Errorf("status and answer disagree: %v", answer)
		}
		out := result{status: int(denial.GetStatus().GetCode()), headers: map[string]string{}, body: denial.GetBody()}
		if out.status < 400 && out.status != http.StatusFound {
			return result{}, fmt.Errorf("denied with %d", out.status)
		}
		for _, h := range denial.GetHeaders() {
			out.headers[http.CanonicalHeaderKey(h.GetHeader().GetKey())] = h.GetHeader().GetValue()
		}
		return out, nil
	}
	ok := answer.GetOkResponse()
	if ok == nil || answer.GetDeniedResponse() != nil {
		return result{}, fmt.Errorf("status and answer disagree: %v", answer)
	}
	upstream := map[string][]string{}
	for _, h := range r.headers {
		upstream[strings.ToLower(h.name)] = append(upstream[strings.ToLower(h.name)], h.value)
	}
	for _, h := range ok.GetHeaders() {
		if h.GetAppend() == nil || h.GetAppend().GetValue() || h.GetAppendAction() != core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD { //nolint:staticcheck // read by some versions
			return result{}, fmt.Errorf("%s would be appended by some versions of Envoy", h.GetHeader().GetKey())
		}
		if h.GetHeader().GetValue() == "" {
			return result{}, fmt.Errorf("%s is empty: Envoy has no keep_empty_value here", h.GetHeader().GetKey())
		}
		upstream[strings.ToLower(h.GetHeader().GetKey())] = []string{h.GetHeader().GetValue()}
	}
	for _, name := range ok.GetHeadersToRemove() { // last
		if strings.HasPrefix(name, ":") || strings.EqualFold(name, "host") {
			return result{}, fmt.Errorf("Envoy does not remove %s", name) //nolint:staticcheck // a name
		}
		delete(upstream, strings.ToLower(name))
	}
	return result{upstream: upstream, status: 200}, nil
}
