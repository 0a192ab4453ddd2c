package ingress_test

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/internal/extauthz"
	"github.com/keyturn/keyturn/internal/policy"
)

// read reads a file as Envoy does: a member that its types do not have is an error.
func read(t *testing.T, file string, into interface {
	proto.Message
	ValidateAll() error
}) {
	t.Helper()
	text, err := os.ReadFile(file)
	check(t, err)
	asJSON, err := yaml.YAMLToJSONStrict(text)
	check(t, err)
	check(t, protojson.Unmarshal(asJSON, into))
	check(t, into.ValidateAll())
}

func unpack(t *testing.T, from *anypb.Any, into interface {
	proto.Message
	ValidateAll() error
}) {
	t.Helper()
	check(t, from.UnmarshalTo(into))
	check(t, into.ValidateAll())
}

// envoyConfiguration is the recipe with other addresses and the policy shop/web, as Envoy reads it: by gRPC, or with the
// filter by HTTP in its place. The test with a real Envoy runs it.
func envoyConfiguration(t *testing.T, at addresses, byHTTP bool) []byte {
	t.Helper()
	const filterName, policyName = "envoy.filters.http.ext_authz", "shop/web"
	var all bootstrap.Bootstrap
	read(t, "envoy.yaml", &all)
	pack := func(into *anypb.Any, from proto.Message) { check(t, into.MarshalFrom(from)) }
	listener := all.GetStaticResources().GetListeners()[0]
	listener.Address = envoyAddress(t, at.listen)
	var connections manager.HttpConnectionManager
	in := listener.GetFilterChains()[0].GetFilters()[0].GetTypedConfig()
	unpack(t, in, &connections)
	named := 0
	for _, r := range connections.GetRouteConfig().GetVirtualHosts()[0].GetRoutes() {
		var own authz.ExtAuthzPerRoute
		unpack(t, r.GetTypedPerFilterConfig()[filterName], &own)
		if extensions := own.GetCheckSettings().GetContextExtensions(); extensions != nil {
			extensions[extauthz.PolicyExtension] = policyName
			pack(r.GetTypedPerFilterConfig()[filterName], &own)
			named++
		}
	}
	if named == 0 {
		t.Fatal("no route names a policy")
	}
	authorizer := at.grpc
	if byHTTP {
		var other manager.HttpFilter
		read(t, "envoy-http.yaml", &other)
		var filter authz.ExtAuthz
		unpack(t, other.GetTypedConfig(), &filter)
		filter.GetHttpService().PathPrefix = "/authz/envoy/" + policyName
		pack(other.GetTypedConfig(), &filter)
		connections.HttpFilters[0], authorizer = &other, at.extAuthz
	}
	pack(in, &connections)
	to := map[string]string{"extauthz": authorizer, "tokenservice": at.tokenService, "application": at.application}
	for _, c := range all.GetStaticResources().GetClusters() {
		c.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().Address = envoyAddress(t, to[c.GetName()])
		if byHTTP && c.GetName() == "extauthz" {
			c.TypedExtensionProtocolOptions = nil // no HTTP/2
		}
	}
	check(t, all.ValidateAll())
	text, err := protojson.Marshal(&all)
	check(t, err)
	return text
}

func envoyAddress(t *testing.T, hostPort string) *core.Address {
	t.Helper()
	host, text, err := net.SplitHostPort(hostPort)
	check(t, err)
	port, err := strconv.ParseUint(text, 10, 16)
	check(t, err)
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// What the test with a real Envoy runs is good to Envoy's types, so that it does not rot where there is none.
func TestEnvoyTestConfiguration(t *testing.T) {
	at := addresses{listen: "127.0.0.1:1001", extAuthz: "127.0.0.1:1002", grpc: "127.0.0.1:1003", tokenService: "127.0.0.1:1004", application: "127.0.0.1:1005"}
	for _, byHTTP := range []bool{false, true} {
		text := envoyConfiguration(t, at, byHTTP)
		var all bootstrap.Bootstrap
		check(t, protojson.Unmarshal(text, &all))
		check(t, all.ValidateAll())
		var connections manager.HttpConnectionManager
		unpack(t, all.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), &connections)
		var filter authz.ExtAuthz
		unpack(t, connections.GetHttpFilters()[0].GetTypedConfig(), &filter)
		if (filter.GetHttpService() != nil) != byHTTP || (filter.GetGrpcService() != nil) == byHTTP || filter.GetFailureModeAllow() {
			t.Errorf("the filter: %v", &filter)
		}
		asked, others := ":1003", ":1002"
		if byHTTP {
			asked, others = others, asked
		}
		plain := strings.NewReplacer(" ", "", `"portValue":`, ":").Replace(string(text))
		for _, port := range []string{":1001", asked, ":1004", ":1005"} {
			if strings.Count(plain, port) != 1 {
				t.Errorf("%v: port %s is there %d times", byHTTP, port, strings.Count(plain, port))
			}
		}
		if strings.Contains(plain, others) || strings.Contains(plain, "svc.cluster.local\",:") || !strings.Contains(plain, "shop/web") || strings.Contains(plain, policy.DefaultPolicy) {
			t.Errorf("%v: %s", byHTTP, plain)
		}
	}
}

// No Envoy can be had from Debian or as a Go module, so its own types judge the files. Where there is one, the build tag
// envoy runs them.
func TestEnvoyRecipe(t *testing.T) {
	var all bootstrap.Bootstrap
	read(t, "envoy.yaml", &all)
	var connections manager.HttpConnectionManager
	unpack(t, all.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), &connections)
	var filter authz.ExtAuthz
	unpack(t, connections.GetHttpFilters()[0].GetTypedConfig(), &filter)
	if filter.GetFailureModeAllow() || filter.GetGrpcService().GetEnvoyGrpc() == nil || filter.GetStatusOnError().GetCode() != 503 || !filter.GetEncodeRawHeaders() {
		t.Errorf("the filter: %v", &filter)
	}
	if !connections.GetNormalizePath().GetValue() || !connections.GetMergeSlashes() || connections.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() == 0 {
		t.Errorf("paths and names: %v", &connections)
	}
	clusters := map[string]bool{}
	for _, c := range all.GetStaticResources().GetClusters() {
		clusters[c.GetName()] = true
	}
	for _, r := range connections.GetRouteConfig().GetVirtualHosts()[0].GetRoutes() {
		var own authz.ExtAuthzPerRoute
		unpack(t, r.GetTypedPerFilterConfig()["envoy.filters.http.ext_authz"], &own)
		to := r.GetRoute().GetCluster()
		if !clusters[to] {
			t.Errorf("no cluster %q", to)
		}
		if own.GetDisabled() != (to == "tokenservice") {
			t.Errorf("the route to %s: %v", to, &own)
		}
		if named := own.GetCheckSettings().GetContextExtensions()[extauthz.PolicyExtension]; to == "application" && named != policy.DefaultPolicy {
			t.Errorf("the route to %s names the policy %q", to, named)
		}
		if _, regex := r.GetMatch().GetPathSpecifier().(*route.RouteMatch_SafeRegex); to == "tokenservice" && !regex && r.GetMatch().GetPrefix() != "/auth/" {
			t.Errorf("what is not protected: %v", r.GetMatch())
		}
	}
}

func TestEnvoyRecipeByHTTP(t *testing.T) {
	var named manager.HttpFilter
	read(t, "envoy-http.yaml", &named)
	var filter authz.ExtAuthz
	unpack(t, named.GetTypedConfig(), &filter)
	service := filter.GetHttpService()
	if filter.GetFailureModeAllow() || service.GetPathPrefix() != "/authz/envoy/"+policy.DefaultPolicy {
		t.Errorf("the filter: %v", &filter)
	}
	names := func(list *matcher.ListStringMatcher) (all []string) {
		for _, p := range list.GetPatterns() {
			all = append(all, p.GetExact()+p.GetPrefix())
		}
		return all
	}
	response := service.GetAuthorizationResponse()
	for _, name := range policy.IdentityHeaders {
		name = strings.ToLower(name)
		if !slices.Contains(names(response.GetAllowedUpstreamHeaders()), name) {
			t.Errorf("the application is not told %s", name)
		}
		for _, list := range []*matcher.ListStringMatcher{response.GetAllowedClientHeaders(), response.GetAllowedClientHeadersOnSuccess(), filter.GetAllowedHeaders()} {
			if slices.Contains(names(list), name) {
				t.Errorf("%s is passed on", name)
			}
		}
	}
	for _, needed := range []string{"authorization", "cookie", "origin", "sec-fetch-", "sec-websocket-", "access-control-request-method", "accept", "x-requested-with"} {
		if !slices.Contains(names(filter.GetAllowedHeaders()), needed) {
			t.Errorf("the authorizer is not shown %s", needed)
		}
	}
}
