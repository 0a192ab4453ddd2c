package extauthz

import (
	"net/http"
	"testing"
)

// The header by which a proxy tells our yes from something else's 200 is in every yes, and in nothing else.
func TestAllowedHeader(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	good := mint(t, signingKeys()[0])
	for _, row := range []struct {
		line   string
		raw    string
		status int
	}{
		{"GET /authz/nginx/-/default", good, 200}, {"GET /authz/nginx/-/default", "", 401}, {"GET /authz/nginx/-/default", "garbage", 401},
		{"GET /authz/nginx/no/policy", good, 403}, {"GET /", good, 403}, {"GET /authz/envoy/-/default/orders", good, 200},
	} {
		r, _ := ask(t, on.HTTP.Addr().String(), row.line+" HTTP/1.1", subRequest(row.raw))
		if allowed := r.Header.Get(HeaderAllowed) == "true"; r.StatusCode != row.status || allowed != (row.status == http.StatusOK) || len(r.Header.Values(HeaderAllowed)) > 1 {
			t.Errorf("%s: %d %v", row.line, r.StatusCode, r.Header)
		}
	}
}
