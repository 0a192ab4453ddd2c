package ingress_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
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

// No Envoy can be had from Debian or as a Go module, so its own types judge the files.
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
