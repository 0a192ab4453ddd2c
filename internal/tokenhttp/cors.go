package tokenhttp

import (
	"net/http"
	"slices"
	"strings"
)

// What pages of other origins may know and send (Fetch, section 3.2).
const (
	corsHeaders = "authorization, content-type"
	corsExposed = "RateLimit, RateLimit-Policy, Retry-After, Deprecation, Sunset, Link"
	corsMaxAge  = "600"
)

// cors lets pages of the allowed origins read the answers of /auth/, and everybody those of /.well-known/. It returns
// true if it has answered, which it does for a preflight. An origin that is not allowed gets no header.
func (s *Service) cors(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	if strings.HasPrefix(r.URL.Path, "/.well-known/") {
		h.Set("Access-Control-Allow-Origin", "*")
		return false
	}
	doc := s.Document()
	if doc == nil || len(doc.Browser.AllowedOrigins) == 0 || !strings.HasPrefix(r.URL.Path, "/auth/") {
		return false
	}
	h.Add("Vary", "Origin")
	origins := r.Header["Origin"]
	if len(origins) != 1 || !slices.Contains(doc.Browser.AllowedOrigins, origins[0]) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	if doc.cookies() {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	to, found := s.routes[r.URL.Path]
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" || !found || r.URL.RawPath != "" {
		h.Set("Access-Control-Expose-Headers", corsExposed)
		return false
	}
	h.Set("Access-Control-Allow-Methods", to.method)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
