package token

import (
	"strings"
	"sync"
	"unsafe"
)

// parsed is a token whose shape is good, and nothing more. Its memory is used again for the next token: a flood of bad
// ones must not keep the collector busy.
type parsed struct {
	header, payload object
	input           string // what the signature is over
	signature       []byte
	algorithm       Algorithm // after checkHeader
	kid             string    // after checkHeader

	decoded []byte // all three segments; names and values are parts of it
	members object // of header and payload
}

var parsedPool = sync.Pool{New: func() any { return new(parsed) }}

// maxKeptMembers bounds what a token leaves for the next one. A hostile one has some hundreds.
const maxKeptMembers = 2 * maxMembers

// recycle ends the use of t. With kept, somebody goes on using parts of it, and the next token gets other memory.
func (t *parsed) recycle(kept bool) {
	decoded, members := t.decoded, t.members
	if kept {
		decoded = nil
	}
	if cap(members) > maxKeptMembers {
		members = nil
	}
	clear(members[:cap(members)]) // they hold on to memory of this token
	*t = parsed{decoded: decoded[:0], members: members[:0]}
	parsedPool.Put(t)
}

// parse reads the compact serialization (RFC 7515, section 7.1): three segments, none empty. An empty signature is
// that of an unsecured JWS, an empty payload that of a detached one. t must be new or recycled.
func (t *parsed) parse(raw string) bool {
	first := strings.IndexByte(raw, '.')
	last := strings.LastIndexByte(raw, '.')
	if first <= 0 || last-first < 2 || last == len(raw)-1 {
		return false
	}
	// One buffer for all three: a dot between the outer ones is refused with everything else outside the alphabet.
	if size := len(raw) * 3 / 4; cap(t.decoded) < size {
		t.decoded = make([]byte, 0, size)
	}
	if t.members == nil {
		t.members = make(object, 0, 2*usualMembers)
	}
	decoded, ok := appendDecoded(t.decoded[:0], raw[:first])
	if !ok {
		return false
	}
	headerEnd := len(decoded)
	if decoded, ok = appendDecoded(decoded, raw[first+1:last]); !ok {
		return false
	}
	payloadEnd := len(decoded)
	if decoded, ok = appendDecoded(decoded, raw[last+1:]); !ok {
		return false
	}
	text := unsafe.String(unsafe.SliceData(decoded), payloadEnd) // is not written again before t is recycled
	t.input, t.signature = raw[:last], decoded[payloadEnd:]
	if t.header, ok = readMembers(t.members[:0], text[:headerEnd], headerMembers); !ok {
		return false
	}
	t.members = t.header
	t.payload, ok = readMembers(t.header[len(t.header):], text[headerEnd:], protocolClaims)
	return ok
}

// readMembers reads a segment into room. White space around the object is refused: some verifiers drop it and then find
// that the signature was over something else.
func readMembers(room object, text string, names []string) (object, bool) {
	if text[0] != '{' || text[len(text)-1] != '}' {
		return nil, false
	}
	o, err := readObjectInto(room, text)
	return o, err == nil && !o.ambiguous(names)
}
