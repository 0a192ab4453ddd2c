package browser

import (
	"net/url"
	"strings"
)

// MaxReturn bounds the way back to a page, in bytes.
const MaxReturn = 2048

// IsReturnPath tells whether s is the path of a page of this site, with or without a query and a fragment, in the eyes
// of every reader on the way: browsers take a backslash for a slash and drop tabs and line ends, proxies and applications
// decode once more. What starts with two slashes names a host. Nothing under /auth/ is a page.
func IsReturnPath(s string) bool {
	if len(s) > MaxReturn || !strings.HasPrefix(s, "/") {
		return false
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] > 0x7e || s[i] == '\\' {
			return false
		}
	}
	path, _, _ := strings.Cut(s, "#")
	path, _, _ = strings.Cut(path, "?")
	for range 4 {
		if !plainPath(path) {
			return false
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return false
		}
		if decoded == path {
			return true
		}
		path = decoded
	}
	return false // whoever encodes a path so often hides something
}

// plainPath tells whether a path, decoded so far, stays on this site and where it says.
func plainPath(path string) bool {
	if strings.HasPrefix(path, "//") || strings.HasPrefix(path+"/", "/auth/") || strings.Contains(path, "\\") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		segment, _, _ = strings.Cut(segment, ";") // some servers cut parameters off before they look at the dots
		if segment == "." || segment == ".." {
			return false
		}
	}
	for i := range len(path) {
		if path[i] < 0x20 || path[i] == 0x7f {
			return false
		}
	}
	return true
}

// LoginAt is the address of a login page with the way back.
func LoginAt(login, returnTo string) string {
	separator := "?"
	if strings.Contains(login, "?") {
		separator = "&"
	}
	return login + separator + "return_to=" + url.QueryEscape(returnTo)
}
