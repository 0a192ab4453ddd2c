package tokenhttp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// metadata is the discovery document: RFC 8414, section 2, with the members that OpenID Connect Discovery requires and
// that make sense without an authorization endpoint. Members for what is not configured are left out.
type metadata struct {
	Issuer        string   `json:"issuer"`
	JWKS          string   `json:"jwks_uri"`
	Token         string   `json:"token_endpoint"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
	Revocation    string   `json:"revocation_endpoint,omitempty"`
	RevokeAuth    []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	Introspection string   `json:"introspection_endpoint,omitempty"`
	InspectAuth   []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	ResponseTypes []string `json:"response_types_supported"`
	GrantTypes    []string `json:"grant_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

// describe makes the answers that caches may keep.
func (d *Document) describe() {
	base := strings.TrimSuffix(d.Header.Issuer, "/")
	if u, err := url.Parse(base); err == nil {
		d.issuerPath = u.Path
	}
	var algorithms []string
	for _, k := range d.Keys.Keys {
		algorithms = append(algorithms, k.Algorithm)
	}
	slices.Sort(algorithms)
	// No authorization endpoint exists, so the list of response types is empty.
	m := metadata{
		Issuer: d.Header.Issuer, JWKS: base + "/.well-known/jwks.json", Token: base + "/auth/token", TokenAuth: []string{"none"},
		ResponseTypes: []string{}, GrantTypes: []string{grantRefreshToken}, SubjectTypes: []string{"public"}, Algorithms: slices.Compact(algorithms),
	}
	if d.directory.Exchanges() {
		m.GrantTypes = append(m.GrantTypes, grantTokenExchange)
	}
	if len(d.clients) > 0 {
		proofs := []string{"client_secret_basic", "client_secret_post"}
		m.TokenAuth = append(m.TokenAuth, proofs...)
		m.Revocation, m.RevokeAuth = base+"/auth/revoke", proofs
		m.Introspection, m.InspectAuth = base+"/auth/introspect", proofs
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings only
	}
	d.discovery.body = body
	control := fmt.Sprintf("public, max-age=%d, stale-if-error=%d", seconds(d.JWKS.MaxAge.Std()), seconds(d.JWKS.StaleIfError.Std()))
	for _, c := range []*cachable{&d.jwks, &d.discovery} {
		sum := sha256.Sum256(c.body)
		c.etag, c.control = `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`, control
	}
}

// The two paths of discovery.
const (
	openidPath = "/.well-known/openid-configuration"
	oauthPath  = "/.well-known/oauth-authorization-server"
)

// local returns the route that a path means. An issuer with a path, such as https://example.com/tenant, advertises its
// endpoints below it, so they are served there as well as at the root: an ingress may hand the path on as it is. Its
// discovery is also where RFC 8414, section 3.1, puts it, in front of the issuer's path. What is a route already stays
// one: the issuer's path may be /auth, too.
func (d *Document) local(path string, routes map[string]route) string {
	if _, served := routes[path]; served || d.issuerPath == "" {
		return path
	}
	if rest, below := strings.CutPrefix(path, d.issuerPath); below {
		if _, served := routes[rest]; served {
			return rest
		}
	}
	if path == openidPath+d.issuerPath || path == oauthPath+d.issuerPath {
		return strings.TrimSuffix(path, d.issuerPath)
	}
	return path
}

// relocate gives a request the path of its route.
func (s *Service) relocate(r *http.Request) *http.Request {
	doc := s.Document()
	if doc == nil || doc.issuerPath == "" || r.URL.RawPath != "" {
		return r
	}
	path := doc.local(r.URL.Path, s.routes)
	if path == r.URL.Path {
		return r
	}
	moved, address := *r, *r.URL
	address.Path, moved.URL = path, &address
	return &moved
}
