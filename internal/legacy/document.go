package legacy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/identity"
)

// The formats of a session in Redis: the values of snapshot.LegacyRedis.Format.
const (
	// JSON: a string with a JSON object, as express-session writes it. It is the default.
	JSON = "JSON"
	// Hash: a hash whose values are JSON, as Spring Session writes it with a JSON serialiser.
	HashFields = "Hash"
)

// maxDocument bounds a session's document, or the one field of it that is read; maxPath the steps to a value.
const (
	maxDocument = 256 << 10
	maxPath     = 16
)

// place says where a value is: a field of the hash (empty in a JSON document), and the steps from there.
type place struct {
	field string
	steps []string
}

// readPlace reads a path of a JSON document, such as passport.user.id; in a hash FIELD or FIELD#path. A step is the name
// of a member, or the number of an element of a list, from 0.
func readPlace(format, text string) (place, error) {
	var p place
	path := text
	if format == HashFields {
		p.field, path, _ = strings.Cut(text, "#")
		if p.field == "" || strings.HasSuffix(text, "#") {
			return place{}, errors.New("must be a field of the hash such as sessionAttr:userId, or FIELD#path for what is inside of its value")
		}
	}
	if path != "" {
		p.steps = strings.Split(path, ".")
	}
	for _, step := range p.steps {
		if step == "" {
			return place{}, errors.New("must be a path such as passport.user.id: names with dots between them")
		}
	}
	if len(text) > 512 || len(p.steps) > maxPath || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return place{}, fmt.Errorf("must be a path of at most %d names and 512 bytes", maxPath)
	}
	return p, nil
}

// errAbsent: there is no value, or it is null.
var errAbsent = errors.New("no value")

// javaMagic is how a value of Java's own serialisation begins.
var javaMagic = []byte{0xac, 0xed, 0x00, 0x05}

// read returns the JSON value at the place of a document, or of the field's content. It fails with errAbsent, or because
// the document is not what the configuration says. No error quotes the document.
func (p place) read(document []byte) (json.RawMessage, error) {
	switch {
	case len(document) > maxDocument:
		return nil, fmt.Errorf("it has more than %d bytes", maxDocument)
	case bytes.HasPrefix(document, javaMagic):
		return nil, errors.New("it is serialised by Java, which only Java can read: let Spring Session write JSON")
	case !utf8.Valid(document) || !json.Valid(document):
		return nil, errors.New("it is not JSON")
	}
	value := json.RawMessage(bytes.TrimSpace(document))
	for _, step := range p.steps {
		var err error
		if value, err = inside(value, step); err != nil {
			return nil, err
		}
	}
	if string(value) == "null" {
		return nil, errAbsent
	}
	return value, nil
}

// inside takes one step. The value is valid JSON.
func inside(value json.RawMessage, step string) (json.RawMessage, error) {
	switch value[0] {
	case '{':
		return member(value, step)
	case '[':
		n, err := strconv.Atoi(step)
		var all []json.RawMessage
		if err != nil || json.Unmarshal(value, &all) != nil {
			return nil, errors.New("there is a list where the path has a name")
		}
		if n < 0 || n >= len(all) {
			return nil, errAbsent
		}
		return bytes.TrimSpace(all[n]), nil
	case 'n':
		return nil, errAbsent
	}
	return nil, errors.New("there is a plain value where the path goes on")
}

// member returns a member of an object by its exact name. A name that is there twice is refused: two readers could read
// two users.
func member(value json.RawMessage, name string) (json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	}
	var found json.RawMessage
	for decoder.More() {
		token, err := decoder.Token()
		var raw json.RawMessage
		if err != nil || decoder.Decode(&raw) != nil {
			return nil, errors.New("it is not JSON")
		}
		if token != name {
			continue
		}
		if found != nil {
			return nil, errors.New("a member of the path is there twice")
		}
		found = bytes.TrimSpace(raw)
	}
	if found == nil {
		return nil, errAbsent
	}
	return found, nil
}

// user returns the id of a user: a text, or a whole number in plain digits. An empty text is nobody.
func (p place) user(document []byte) (string, error) {
	value, err := p.read(document)
	if err != nil {
		return "", err
	}
	id := string(value)
	if value[0] == '"' {
		if json.Unmarshal(value, &id) != nil {
			return "", errors.New("the user is not JSON")
		}
		if id == "" {
			return "", errAbsent
		}
	} else if !isNumber(id) {
		return "", errors.New("the user is neither a text nor a whole number")
	}
	if !identity.IsID(id) {
		return "", fmt.Errorf("the user's id is not 1 to %d bytes of printable characters in Unicode form NFKC", identity.MaxNameBytes)
	}
	return id, nil
}

// role returns a role: a text, or the first of a list of texts; empty if there is none.
func (p place) role(document []byte) (string, error) {
	value, err := p.read(document)
	switch {
	case errors.Is(err, errAbsent):
		return "", nil
	case err != nil:
		return "", err
	}
	if value[0] == '[' {
		var all []json.RawMessage
		if err := json.Unmarshal(value, &all); err != nil {
			return "", errors.New("the role is not JSON")
		}
		if len(all) == 0 {
			return "", nil
		}
		value = bytes.TrimSpace(all[0])
	}
	var role string
	if json.Unmarshal(value, &role) != nil || value[0] != '"' || role != "" && !identity.IsRole(role) {
		return "", errors.New("the role is not a text of at most 64 letters, digits, or . _ : / @ -")
	}
	return role, nil
}

func isNumber(s string) bool {
	return s == "0" || s != "" && len(s) <= 19 && s[0] != '0' && !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
}

// The fields in which Spring Session keeps the times of a session: milliseconds since 1970, and seconds.
const (
	accessedField = "lastAccessedTime"
	idleField     = "maxInactiveInterval"
)

// springEnd is the end of a session by its own fields; zero if it never ends. Spring keeps the key for minutes after it,
// so the key's TTL does not tell. Fields that are not there tell nothing.
func springEnd(accessed, idle []byte) (time.Time, error) {
	if len(accessed) == 0 || len(idle) == 0 {
		return time.Time{}, nil
	}
	at, ok1 := springNumber(accessed)
	seconds, ok2 := springNumber(idle)
	if !ok1 || !ok2 || at > maxMilliseconds || seconds > maxMilliseconds/1000 {
		return time.Time{}, errors.New("its times are not JSON numbers")
	}
	if seconds < 0 { // it never ends
		return time.Time{}, nil
	}
	return time.UnixMilli(at).Add(time.Duration(seconds) * time.Second), nil
}

// maxMilliseconds is the year 2262, where a time.Duration since 1970 ends.
const maxMilliseconds = 1<<63/1_000_000 - 1

// springNumber reads 1800 and ["java.lang.Long",1800].
func springNumber(raw []byte) (int64, bool) {
	var typed []json.RawMessage
	if json.Unmarshal(raw, &typed) == nil && len(typed) == 2 {
		raw = typed[1]
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	return n, err == nil
}
