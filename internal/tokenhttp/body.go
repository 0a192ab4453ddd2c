package tokenhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/secret"
)

// MaxBody bounds a request's body.
const MaxBody = 16 << 10

// readBody reads a JSON object of strings. A request without a body gives an empty map if that is optional.
func readBody(w http.ResponseWriter, r *http.Request, optional bool, allowed ...string) (map[string]secret.Text, *Problem) {
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
	if len(raw) == 0 && optional {
		return nil, nil
	}
	if p := checkMedia(r.Header); p != nil {
		return nil, p
	}
	return decodeStrings(raw, allowed...)
}

func tooLarge() *Problem {
	return &Problem{Status: http.StatusRequestEntityTooLarge, Code: CodeTooLarge, Title: "The body is too large", Detail: "at most 16 KiB are read"}
}

// checkNoForm refuses what a page can send without asking first, also where no body is needed: an empty form has a type.
func checkNoForm(h http.Header) *Problem {
	if len(h["Content-Type"]) == 0 {
		return nil
	}
	return checkMedia(h)
}

func checkMedia(h http.Header) *Problem {
	if !sentAs(h, "application/json") {
		return &Problem{Status: http.StatusUnsupportedMediaType, Code: CodeUnsupportedMedia, Title: "The body must be application/json in UTF-8"}
	}
	return nil
}

// sentAs tells whether a body is said to be of one media type, in UTF-8 and not compressed.
func sentAs(h http.Header, want string) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 || len(h.Values("Content-Encoding")) > 0 {
		return false
	}
	media, params, err := mime.ParseMediaType(types[0])
	if err != nil || media != want {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// decodeStrings reads one flat JSON object whose members are strings, in exact case, each at most once, and none that
// is not allowed. Guessing what a client meant would let two readers of one body see two different requests.
func decodeStrings(raw []byte, allowed ...string) (map[string]secret.Text, *Problem) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, badRequest("the body must be one JSON object in UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, badRequest("the body must be one JSON object")
	}
	members := map[string]secret.Text{}
	for dec.More() {
		name, value, p := readMember(dec, allowed)
		if p != nil {
			return nil, p
		}
		if _, twice := members[name]; twice {
			return nil, badRequest("a member is there twice")
		}
		members[name] = secret.NewText(value)
	}
	return members, nil
}

func readMember(dec *json.Decoder, allowed []string) (name, value string, p *Problem) {
	first, err := dec.Token()
	if err != nil {
		return "", "", badRequest("the body must be one JSON object")
	}
	name, _ = first.(string)
	known := false
	for _, a := range allowed {
		known = known || a == name
	}
	if !known {
		return "", "", badRequest("a member is unknown; known are " + strings.Join(allowed, ", "))
	}
	second, err := dec.Token()
	if err != nil {
		return "", "", badRequest("the body must be one JSON object")
	}
	value, isString := second.(string)
	// encoding/json puts U+FFFD in the place of half a surrogate pair.
	if !isString || strings.ContainsRune(value, utf8.RuneError) {
		return "", "", badRequest(name + " must be a string")
	}
	return name, value, nil
}
