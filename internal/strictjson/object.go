// Package strictjson reads JSON objects that a stranger or another program sends, so that no two readers understand one
// differently: exact names, none twice, bounded in depth and width. The size is the caller's to bound.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// The bounds of one object: how deep objects and arrays lie in each other, and the members of each.
const (
	MaxDepth   = 8
	MaxMembers = 256
)

// ErrForm is the one error of the reader: it quotes nothing.
var ErrForm = errors.New("not one JSON object with unique names")

// Object is a JSON object by exact names.
type Object map[string]json.RawMessage

// Read reads exactly one JSON object (RFC 8259) and nothing after it: valid UTF-8, no lone surrogates, no
// duplicate names at any depth, bounded in depth and width. So no two readers understand it differently.
func Read(raw []byte) (Object, error) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, ErrForm
	}
	walk := json.NewDecoder(bytes.NewReader(raw))
	walk.UseNumber()
	first, err := walk.Token()
	if err != nil || first != json.Delim('{') || !uniqueNames(walk, true, 1) {
		return nil, ErrForm
	}
	var o Object
	if json.Unmarshal(raw, &o) != nil {
		return nil, ErrForm
	}
	return o, nil
}

// uniqueNames reads the rest of an object or array whose first bracket is read.
func uniqueNames(walk *json.Decoder, isObject bool, depth int) bool {
	seen := map[string]bool{}
	for members := 0; ; members++ {
		token, err := walk.Token()
		if err != nil || members > MaxMembers {
			return false
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			return true
		}
		if isObject {
			name, _ := token.(string)
			if seen[name] || strings.ContainsRune(name, utf8.RuneError) {
				return false
			}
			seen[name] = true
			if token, err = walk.Token(); err != nil {
				return false
			}
		}
		switch value := token.(type) {
		case json.Delim: // an opening one: the reader is between two values
			if depth == MaxDepth || !uniqueNames(walk, value == '{', depth+1) {
				return false
			}
		case string:
			// A lone surrogate, which readers disagree about, is read as this.
			if strings.ContainsRune(value, utf8.RuneError) {
				return false
			}
		}
	}
}

// Text returns a member that is a text.
func (o Object) Text(name string) (string, bool) {
	raw := bytes.TrimSpace(o[name])
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

// Texts returns a member that is a text or a list of texts, as RFC 7519, section 4.1.3 has `aud`.
func (o Object) Texts(name string) ([]string, bool) {
	if one, ok := o.Text(name); ok {
		return []string{one}, true
	}
	raw := bytes.TrimSpace(o[name])
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var all []*string // null is no text
	if json.Unmarshal(raw, &all) != nil {
		return nil, false
	}
	list := make([]string, 0, len(all))
	for _, s := range all {
		if s == nil {
			return nil, false
		}
		list = append(list, *s)
	}
	return list, true
}

// Object returns a member that is an object.
func (o Object) Object(name string) (Object, bool) {
	raw := bytes.TrimSpace(o[name])
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	var inner Object
	return inner, json.Unmarshal(raw, &inner) == nil
}

// maxNumericDate is the end of the year 9999.
const maxNumericDate = 253402300799

// Seconds returns a member that is a NumericDate (RFC 7519, section 2): a whole number from 0 on.
func (o Object) Seconds(name string) (int64, bool) {
	raw := bytes.TrimSpace(o[name])
	if len(raw) == 0 || len(raw) > 12 {
		return 0, false
	}
	var n int64
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n <= maxNumericDate
}

// Misspelt tells whether a name differs from one of names in case only: what a lenient reader takes for it.
func (o Object) Misspelt(names ...string) bool {
	for given := range o {
		for _, name := range names {
			if given != name && strings.EqualFold(given, name) {
				return true
			}
		}
	}
	return false
}
