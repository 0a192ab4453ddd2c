package token

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The bounds of one JSON document in a token or a key. Ours have two levels and about twelve members.
const (
	maxDepth   = 8
	maxMembers = 64
	// usualMembers is how many a payload of ours has at most, with two claims of the identity source.
	usualMembers = 12
)

// errJSON is the one error of the reader: which rule was broken helps nobody but an attacker.
var errJSON = errors.New("not one JSON object with unique names")

type member struct {
	name string
	raw  string
}

// object is the top level of a JSON object, in the order of the text.
type object []member

// get returns the raw value of the member with exactly this name.
func (o object) get(name string) (string, bool) {
	for _, m := range o {
		if m.name == name {
			return m.raw, true
		}
	}
	return "", false
}

// ambiguous tells whether a lenient reader could take one member for another, or for one of names: a name that differs
// from another in case only, or one that is not printable ASCII. Of the latter some fold to ASCII (`ſub` with U+017F,
// `KID` with U+212A, `iß`), some are normalised to it (full-width letters), some only look like it.
func (o object) ambiguous(names []string) bool {
	for i, m := range o {
		if isPlain(m.name) {
			continue
		}
		for j := range len(m.name) {
			if m.name[j] < ' ' || m.name[j] > '~' {
				return true
			}
		}
		for _, name := range names {
			if m.name != name && strings.EqualFold(m.name, name) {
				return true
			}
		}
		for j, other := range o {
			if i != j && strings.EqualFold(m.name, other.name) {
				return true
			}
		}
	}
	return false
}

// isPlain tells whether a name has only characters that no other name of [object.ambiguous] could be a variant of: no
// upper case, and not the `#` of `x5t#S256`, which is the only protocol name with any.
func isPlain(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isDigit(c) && (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}

// readObject reads exactly one JSON object (RFC 8259) and nothing after it: valid UTF-8, no lone surrogates, no
// duplicate names at any depth, at most [maxDepth] levels and [maxMembers] members each. It never recurses deeper.
// Names and values are parts of raw.
func readObject(raw string) (object, error) { return readObjectInto(nil, raw) }

// readObjectInto is [readObject] with the members in room, which is empty, as far as they fit.
func readObjectInto(room object, raw string) (object, error) {
	if !utf8.ValidString(raw) {
		return nil, errJSON
	}
	if cap(room) == 0 {
		room = make(object, 0, usualMembers)
	}
	r := reader{raw: raw, members: room}
	r.space()
	ok := r.object(1)
	r.space()
	if !ok || r.pos != len(raw) {
		return nil, errJSON
	}
	return r.members, nil
}

type reader struct {
	raw string
	pos int
	// members are those of the outermost object so far, and behind them those of the objects being read inside it, which
	// are dropped when they end: a hostile text of objects in objects takes no memory of its own for each.
	members object
}

func (r *reader) space() {
	for r.pos < len(r.raw) {
		switch r.raw[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

func (r *reader) take(c byte) bool {
	if r.pos < len(r.raw) && r.raw[r.pos] == c {
		r.pos++
		return true
	}
	return false
}

func (r *reader) object(depth int) bool {
	if depth > maxDepth || !r.take('{') {
		return false
	}
	first := len(r.members)
	r.space()
	if r.take('}') {
		return true
	}
	for len(r.members)-first < maxMembers {
		r.space()
		quoted, ok := r.quoted()
		if !ok {
			return false
		}
		name := unquote(quoted)
		if _, twice := r.members[first:].get(name); twice {
			return false
		}
		r.space()
		if !r.take(':') {
			return false
		}
		r.space()
		start := r.pos
		if !r.value(depth) {
			return false
		}
		r.members = append(r.members, member{name, r.raw[start:r.pos]})
		r.space()
		if r.take('}') {
			if depth > 1 {
				r.members = r.members[:first]
			}
			return true
		}
		if !r.take(',') {
			return false
		}
	}
	return false
}

func (r *reader) value(depth int) bool {
	if r.pos >= len(r.raw) {
		return false
	}
	switch c := r.raw[r.pos]; {
	case c == '{':
		return r.object(depth + 1)
	case c == '[':
		return r.array(depth + 1)
	case c == '"':
		_, ok := r.quoted()
		return ok
	case c == '-' || isDigit(c):
		return r.number()
	default:
		return r.word("true") || r.word("false") || r.word("null")
	}
}

func (r *reader) array(depth int) bool {
	if depth > maxDepth || !r.take('[') {
		return false
	}
	r.space()
	if r.take(']') {
		return true
	}
	for range maxMembers {
		r.space()
		if !r.value(depth) {
			return false
		}
		r.space()
		if r.take(']') {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
	return false
}

func (r *reader) word(w string) bool {
	if strings.HasPrefix(r.raw[r.pos:], w) {
		r.pos += len(w)
		return true
	}
	return false
}

// number takes the grammar of RFC 8259, section 6: no leading zero, no plus, a digit on both sides of the point. What no
// float64 holds is refused: some readers make it infinite, others fail.
func (r *reader) number() bool {
	start, exponent := r.pos, false
	r.take('-')
	if !r.take('0') && !r.digits() {
		return false
	}
	if r.take('.') && !r.digits() {
		return false
	}
	if r.take('e') || r.take('E') {
		exponent = true
		if !r.take('+') {
			r.take('-')
		}
		if !r.digits() {
			return false
		}
	}
	if size := r.pos - start; !exponent && size < maxFloatDigits {
		return true
	}
	_, err := strconv.ParseFloat(r.raw[start:r.pos], 64)
	return err == nil
}

// maxFloatDigits: a number of fewer and without an exponent is a float64.
const maxFloatDigits = 308

func (r *reader) digits() bool {
	start := r.pos
	for r.pos < len(r.raw) && isDigit(r.raw[r.pos]) {
		r.pos++
	}
	return r.pos > start
}

// quoted takes a string with its quotes: no control characters, only the escapes of RFC 8259, section 7.
func (r *reader) quoted() (string, bool) {
	start := r.pos
	if !r.take('"') {
		return "", false
	}
	for r.pos < len(r.raw) {
		switch c := r.raw[r.pos]; {
		case c == '"':
			r.pos++
			return r.raw[start:r.pos], true
		case c == '\\':
			_, size := escape(r.raw[r.pos:])
			if size == 0 {
				return "", false
			}
			r.pos += size
		case c < ' ':
			return "", false
		default:
			r.pos++
		}
	}
	return "", false
}
