package tokentest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// forged is a token made by hand: every part can be wrong on its own while the signature is right.
type forged struct {
	Setting
	key             *Key
	header, payload map[string]any
	// headerText and payloadText, if set, change the text of a segment.
	headerText, payloadText func(string) string
	// signature, if set, changes the signature.
	signature func(input string, good []byte) []byte
	// token, if set, changes the finished text.
	token func(string) string
}

// The user of every forged token.
const (
	Subject = "ann"
	Role    = "buyer"
)

func (s Setting) forge(key *Key) *forged {
	now := s.Now.Unix()
	return &forged{
		Setting: s, key: key,
		header: map[string]any{"alg": key.Algorithm, "kid": key.KID, "typ": "at+jwt"},
		payload: map[string]any{
			"iss": s.Issuer, "sub": Subject, "aud": s.Audience, "exp": now + 900, "iat": now,
			"jti": "01J", "client_id": "keyturn-web", "sid": "7-abc", "role": Role,
		},
	}
}

// texts are the two segments before they are encoded.
func (f *forged) texts() (header, payload string) {
	header, payload = ordered(f.header), ordered(f.payload)
	if f.headerText != nil {
		header = f.headerText(header)
	}
	if f.payloadText != nil {
		payload = f.payloadText(payload)
	}
	return header, payload
}

func (f *forged) finish(class, name, source string, outcome policy.Outcome, reason policy.Reason) Case {
	header, payload := f.texts()
	input := base64url.EncodeToString([]byte(header)) + "." + base64url.EncodeToString([]byte(payload))
	signature := f.key.sign(f.key.Algorithm, input)
	if f.signature != nil {
		signature = f.signature(input, signature)
	}
	raw := input + "." + base64url.EncodeToString(signature)
	if f.token != nil {
		raw = f.token(raw)
	}
	return Case{Class: class, Name: name, Source: source, Raw: raw, Outcome: outcome, Reason: reason, Header: header, Payload: payload}
}

// raw is a good token as text.
func (f *forged) raw() string { return f.finish("", "", "", policy.Valid, policy.OK).Raw }

// ordered writes the members by name; a json.RawMessage is written as it stands, even if it is not JSON.
func ordered(m map[string]any) string {
	parts := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value, ok := m[name].(json.RawMessage)
		if !ok {
			value = must(json.Marshal(m[name]))
		}
		parts = append(parts, string(must(json.Marshal(name)))+":"+string(value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func header(name string, value any) func(*forged) { return func(f *forged) { f.header[name] = value } }
func claim(name string, value any) func(*forged)  { return func(f *forged) { f.payload[name] = value } }
func noHeader(name string) func(*forged)          { return func(f *forged) { delete(f.header, name) } }
func noClaim(name string) func(*forged)           { return func(f *forged) { delete(f.payload, name) } }

// literal writes a claim's value as it stands.
func literal(name, text string) func(*forged) { return claim(name, json.RawMessage(text)) }

// instant sets a claim to a number of seconds from now.
func instant(name string, seconds func(*forged) int64) func(*forged) {
	return func(f *forged) { f.payload[name] = f.Now.Unix() + seconds(f) }
}

func text(change func(string) string) func(*forged) { return func(f *forged) { f.token = change } }

func payloadText(change func(string) string) func(*forged) {
	return func(f *forged) { f.payloadText = change }
}

func headerText(change func(string) string) func(*forged) {
	return func(f *forged) { f.headerText = change }
}

func signature(change func(input string, good []byte) []byte) func(*forged) {
	return func(f *forged) { f.signature = change }
}

func fixed(b []byte) func(*forged) {
	return signature(func(string, []byte) []byte { return b })
}

// segment changes one of the three segments.
func segment(i int, change func(string) string) func(*forged) {
	return text(func(raw string) string {
		parts := strings.Split(raw, ".")
		parts[i] = change(parts[i])
		return strings.Join(parts, ".")
	})
}

func replace(old, with string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("tokentest: an attack that changes nothing: " + old)
		}
		return strings.Replace(s, old, with, 1)
	}
}

func all(changes ...func(*forged)) func(*forged) {
	return func(f *forged) {
		for _, change := range changes {
			change(f)
		}
	}
}

func after(suffix string) func(string) string  { return func(s string) string { return s + suffix } }
func before(prefix string) func(string) string { return func(s string) string { return prefix + s } }
func become(whole string) func(string) string  { return func(string) string { return whole } }
