package tokenhttp

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/secret"
)

// maxParameters bounds how many parameters a form may have.
const maxParameters = 32

// form is the body of an OAuth request: the parameters that have a value.
type form map[string][]secret.Text

// get returns a parameter, empty if it was not sent.
func (f form) get(name string) secret.Text {
	if values := f[name]; len(values) > 0 {
		return values[0]
	}
	return secret.Text{}
}

// readForm reads an application/x-www-form-urlencoded body. The query of the address is not looked at: what is in it
// ends up in logs.
func readForm(w http.ResponseWriter, r *http.Request, repeatable ...string) (form, *Problem) {
	if r.ContentLength > MaxBody {
		return nil, tooLarge()
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		var past *http.MaxBytesError
		if errors.As(err, &past) {
			return nil, tooLarge()
		}
		return nil, badRequest("the body did not arrive")
	}
	if !sentAs(r.Header, "application/x-www-form-urlencoded") {
		return nil, &Problem{Status: http.StatusUnsupportedMediaType, Code: CodeUnsupportedMedia, Title: "The body must be application/x-www-form-urlencoded in UTF-8"}
	}
	return decodeForm(string(raw), repeatable...)
}

// decodeForm reads a form by RFC 6749, section 3.2 and appendix B: a parameter at most once, whether known or not,
// unless it is repeatable; one without a value counts as not sent; unknown ones are for the caller to ignore. A semicolon
// is refused, because some readers split there and some do not.
func decodeForm(raw string, repeatable ...string) (form, *Problem) {
	f, seen, count := form{}, map[string]bool{}, 0
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if count++; count > maxParameters {
			return nil, badRequest("too many parameters")
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err != nil || err2 != nil || strings.Contains(pair, ";") || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, badRequest("the body must be a form in UTF-8")
		}
		if seen[name] && !slices.Contains(repeatable, name) {
			return nil, badRequest("a parameter is there twice")
		}
		seen[name] = true
		if value != "" {
			f[name] = append(f[name], secret.NewText(value))
		}
	}
	return f, nil
}
