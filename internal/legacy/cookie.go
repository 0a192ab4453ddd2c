package legacy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
)

// How the id of a session stands in its cookie: the values of snapshot.LegacyRedis.Cookie.
const (
	// Plain: the cookie is the id. It is the default.
	Plain = "Plain"
	// Signed: s:ID.SIGNATURE, percent-encoded, as express-session writes it.
	Signed = "Signed"
	// Base64: the id in base64, as Spring Session writes it.
	Base64 = "Base64"
)

// maxID bounds the id of a session.
const maxID = 256

// plausible tells whether a cookie can be one: RFC 6265, section 4.1.1, and what servers take beside it.
func plausible(cookie string) bool {
	return cookie != "" && len(cookie) <= MaxCookieBytes &&
		!strings.ContainsFunc(cookie, func(c rune) bool { return c < ' ' || c > '~' || c == ';' })
}

// readID returns the id in a cookie. It is exact: a session has one spelling of its cookie, the framework's. The secrets
// are for Signed, the one that signs first.
func readID(format, cookie string, secrets []string) (string, bool) {
	switch format {
	case Signed:
		return readSigned(cookie, secrets)
	case Base64:
		raw, err := base64.StdEncoding.Strict().DecodeString(cookie)
		// The decoder skips line ends.
		if err != nil || base64.StdEncoding.EncodeToString(raw) != cookie {
			return "", false
		}
		return string(raw), isPlainID(string(raw))
	}
	return cookie, isPlainID(cookie)
}

// isPlainID tells whether s can be an id that nobody signed. Without a colon it cannot lead from sessions:{id} to
// another kind of key, such as sessions:expires:….
func isPlainID(s string) bool {
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.,~!=+/@$", c)
	})
}

// isSignedID is isPlainID for an id of the application's own making.
func isSignedID(s string) bool {
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// readSigned reads what the module cookie-signature writes: the id, a dot, and base64 without padding of its HMAC-SHA256;
// before it "s:", and all of it percent-encoded by encodeURIComponent.
func readSigned(cookie string, secrets []string) (string, bool) {
	text, err := url.PathUnescape(cookie)
	if err != nil || encodeComponent(text) != cookie {
		return "", false
	}
	text, marked := strings.CutPrefix(text, "s:")
	dot := strings.LastIndexByte(text, '.')
	if !marked || dot < 0 {
		return "", false
	}
	id, signature := text[:dot], text[dot+1:]
	good := false
	for _, s := range secrets { // all of them: the time tells nothing about which
		good = hmac.Equal([]byte(sign(id, s)), []byte(signature)) || good
	}
	return id, good && isSignedID(id)
}

func sign(id, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

// encodeComponent is encodeURIComponent of ECMAScript.
func encodeComponent(s string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0 {
			out.WriteByte(c)
		} else {
			out.WriteString(string([]byte{'%', digits[c>>4], digits[c&15]}))
		}
	}
	return out.String()
}

// lines are the secrets in a file: one a line.
func lines(text string) []string {
	var all []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" {
			all = append(all, line)
		}
	}
	return all
}
