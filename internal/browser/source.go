package browser

import (
	"slices"
	"strings"
)

// Source is where the page that caused a request was loaded from. The zero value is the worst.
type Source uint8

// The sources.
const (
	// Elsewhere: a page of another origin, which is not among the allowed ones, or headers that contradict themselves.
	Elsewhere Source = iota
	// Untold: the request does not say. Programs do not; a browser sends at least one of both headers with a POST.
	Untold
	// Allowed: a page of another origin, which is among the allowed ones.
	Allowed
	// Same: a page of the target's own origin, or nobody's page: an address that was typed, a bookmark.
	Same
)

// From judges by Fetch Metadata (W3C, `Sec-Fetch-Site`) and, where it is absent, by `Origin` (RFC 6454, section 7). site
// and origin are the values of these headers; target is the request's own origin as [Target] makes it, empty if it is
// not known; allowed are exact origins. A header that is there twice or has a value that browsers do not send is
// Elsewhere.
func From(site, origin []string, target string, allowed []string) Source {
	if len(site) > 1 || len(origin) > 1 {
		return Elsewhere
	}
	if len(site) == 1 {
		switch site[0] {
		case "same-origin", "none":
			return Same
		case "same-site", "cross-site":
			if len(origin) == 1 && slices.Contains(allowed, origin[0]) {
				return Allowed
			}
		}
		return Elsewhere
	}
	switch {
	case len(origin) == 0:
		return Untold
	case origin[0] == target && target != "":
		return Same
	case slices.Contains(allowed, origin[0]):
		return Allowed
	}
	return Elsewhere
}

// Target is the origin of a request to host, with or without a port, as browsers write it; empty if scheme or host is
// none that a browser asks.
func Target(scheme, host string) string {
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return ""
	}
	if !isAuthority(host) {
		return ""
	}
	return scheme + "://" + strings.ToLower(host)
}

// IsOrigin tells whether s is the origin of a web page exactly as browsers send it: scheme and host in lower case, no
// default port, no path.
func IsOrigin(s string) bool {
	scheme, host, found := strings.Cut(s, "://")
	return found && Target(scheme, host) == s
}

// isAuthority tells whether s is a host name or address, with or without a port.
func isAuthority(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if inner, six := strings.CutPrefix(host, "["); six {
		inner, closed := strings.CutSuffix(inner, "]")
		return closed && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:.") == ""
	}
	for i := range len(host) {
		c := host[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return host != "" && len(s) <= 260
}
