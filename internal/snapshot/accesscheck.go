package snapshot

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/browser"
	"github.com/keyturn/keyturn/internal/policy"
)

// CheckPolicies tells what of the policies no edge would take; claims are those of the document, [Edge.Claims]. The
// controller asks before it writes, the edge before it believes.
func CheckPolicies(policies []AccessPolicy, claims []string) error {
	names := map[string]bool{}
	var told []string
	for i := range policies {
		p := &policies[i]
		if err := p.Check(claims); err != nil {
			return fmt.Errorf("policy %q: %w", clip(p.Name), err)
		}
		if names[p.Name] {
			return fmt.Errorf("policy %q: is there twice", p.Name)
		}
		names[p.Name] = true
		for _, h := range p.Headers {
			told = append(told, h.Name)
		}
	}
	for _, p := range policies {
		for _, s := range p.Sources {
			if s.Header != "" && slices.ContainsFunc(told, func(name string) bool { return Spelled(name) == Spelled(s.Header) }) {
				return fmt.Errorf("policy %q: takes tokens from %s, which a policy sets for applications", p.Name, s.Header)
			}
		}
	}
	return nil
}

// Check tells why no edge would take the policy; nil if one would. claims are those that tokens may carry.
func (p *AccessPolicy) Check(claims []string) error {
	namespace, name, two := strings.Cut(p.Name, "/")
	if !two || !isObjectName(namespace) || !isObjectName(name) {
		return errors.New("its name must be namespace/name")
	}
	if len(p.Accept) == 0 || !subset(p.Accept, AcceptJWT, AcceptLegacySession) {
		return fmt.Errorf("accept must name %s, %s or both", AcceptJWT, AcceptLegacySession)
	}
	if err := checkRoles(p.Roles); err != nil {
		return err
	}
	for i, r := range p.Rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("rules[%d]: %w", i, err)
		}
	}
	if p.LoginURL != "" && !isLogin(p.LoginURL) {
		return errors.New("loginURL must be a path of the same origin or an https URL, without a fragment")
	}
	for i, s := range p.Sources {
		if err := s.check(); err != nil {
			return fmt.Errorf("sources[%d]: %w", i, err)
		}
		if slices.ContainsFunc(p.Sources[:i], func(o TokenSource) bool { return o.Cookie == s.Cookie && strings.EqualFold(o.Header, s.Header) }) {
			return fmt.Errorf("sources[%d]: the place is there twice", i)
		}
	}
	for i, h := range p.Headers {
		if err := h.check(claims); err != nil {
			return fmt.Errorf("headers[%d]: %w", i, err)
		}
		if slices.ContainsFunc(p.Headers[:i], func(o UpstreamHeader) bool { return Spelled(o.Name) == Spelled(h.Name) }) {
			return fmt.Errorf("headers[%d]: %s is there twice", i, h.Name)
		}
	}
	return nil
}

func (r AccessRule) check() error {
	if r.Path != "" {
		if path, ok := policy.Path(r.Path); !ok || strings.ContainsAny(r.Path, "?#") || path == "" {
			return fmt.Errorf("path %q must be a path that has one reading: begin with a slash, without a query, dot segments, double slashes or `;`", clip(r.Path))
		}
		if r.PathType != PathExact && r.PathType != PathPrefix {
			return fmt.Errorf("pathType must be %s or %s", PathExact, PathPrefix)
		}
	}
	for _, m := range r.Methods {
		if !isToken(m) || m != strings.ToUpper(m) || m == "CONNECT" {
			return fmt.Errorf("method %q: methods are written as they are sent, in upper case", clip(m))
		}
	}
	if r.Anonymous && len(r.Roles) > 0 {
		return errors.New("anonymous and roles contradict each other")
	}
	return checkRoles(r.Roles)
}

func checkRoles(roles []string) error {
	for _, role := range roles {
		if role == "" || strings.TrimSpace(role) != role || strings.IndexFunc(role, func(c rune) bool { return c < 0x20 || c > 0x7e }) >= 0 {
			return fmt.Errorf("role %q: a role is printable ASCII", clip(role))
		}
	}
	return nil
}

func (s TokenSource) check() error {
	switch {
	case (s.Header == "") == (s.Cookie == ""):
		return errors.New("exactly one of header and cookie is needed")
	case s.Cookie != "" && (s.Scheme != "" || !isToken(s.Cookie)):
		return errors.New("a cookie has a name and no scheme")
	case s.Cookie != "":
		return nil
	case !isToken(s.Header) || s.Scheme != "" && !isToken(s.Scheme):
		return errors.New("header and scheme must be names")
	case !strings.EqualFold(s.Header, "Authorization") && isOwned(s.Header):
		return fmt.Errorf("%s is a header with a meaning of its own: take another", s.Header)
	}
	return nil
}

func (h UpstreamHeader) check(claims []string) error {
	name := strings.ToLower(h.Name)
	if !strings.HasPrefix(name, "x-") || len(name) < 3 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("name %q must begin with X- and hold letters, digits and hyphens only", clip(h.Name))
	}
	if isOwned(h.Name) {
		return fmt.Errorf("%s is a header with a meaning of its own: take another", h.Name)
	}
	switch h.Claim {
	case "sub", "sid", "client_id":
		return nil
	}
	if !slices.Contains(claims, h.Claim) {
		return fmt.Errorf("claim %q is none that tokens carry", clip(h.Claim))
	}
	return nil
}

// Spelled is a header's name as CGI, WSGI, PHP and others read it: they turn all but letters and digits into one
// character, so that two names of one spelling are one header to an application.
func Spelled(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c | 0x20
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		}
		return '-'
	}, name)
}

// owned are headers, and beginnings of headers, that mean something to proxies, servers, frameworks or Keyturn.
var owned = []string{
	"x-auth-user", "x-auth-role", "x-auth-method", "x-keyturn-*", "x-forwarded-*", "x-forwarded", "x-original-*", "x-rewrite-*", "x-envoy-*", "x-accel-*",
	"x-sendfile*", "x-lighttpd-*", "x-litespeed-*", "x-http-method*", "x-method-override", "x-requested-with", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
	"x-host", "x-url", "x-proxy-*", "x-request-id", "x-request-start", "x-correlation-id", "x-b3-*", "x-amzn-*", "x-amz-*", "x-cloud-trace-context", "x-csrf-token",
	"x-csrftoken", "x-xsrf-token", "x-frame-options", "x-content-type-options", "x-xss-protection", "x-powered-by", "x-forwarded-client-cert",
	// Of the sources: what HTTP, browsers and proxies use.
	"host", "cookie", "set-cookie", "connection", "keep-alive", "proxy-*", "te", "trailer", "transfer-encoding", "upgrade", "content-*", "expect", "forwarded", "via",
	"origin", "referer", "user-agent", "accept", "accept-*", "sec-*", "access-control-*", "date", "range", "if-*", "cache-control", "pragma", "from", "max-forwards",
}

func isOwned(name string) bool {
	spelled := Spelled(name)
	return slices.ContainsFunc(owned, func(o string) bool {
		beginning, open := strings.CutSuffix(o, "*")
		return spelled == o || open && strings.HasPrefix(spelled, beginning)
	})
}

// isLogin tells whether browsers can be sent to s: a path of the same origin, or an https URL.
func isLogin(s string) bool {
	if strings.Contains(s, "#") {
		return false
	}
	if rest, own := strings.CutPrefix(s, "/auth/continue"); own {
		return rest == ""
	}
	if browser.IsReturnPath(s) {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || len(s) > browser.MaxReturn || !browser.IsOrigin("https://"+u.Host) {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool { return c <= 0x20 || c > 0x7e || c == '\\' || c == '"' }) < 0
}

func subset(values []string, of ...string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !slices.Contains(of, v) })
}

// isObjectName tells whether s is a name of Kubernetes (RFC 1123, subdomain).
func isObjectName(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && strings.Trim(s, "-.") == s
}

// isToken tells whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") == ""
}
