// Package secret holds values that must not leave the process by accident: passwords, tokens, private keys.
//
// A [Bytes] or [Text] has no printable form. fmt prints "[redacted]" with every verb, encoding/json and
// encoding.TextMarshaler write the same word, log/slog logs it. The one way to the content is Reveal, so that a
// reader finds every use with one search. Decoding from JSON and text is allowed: that is how a secret arrives.
package secret

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a secret prints instead of itself.
const Redacted = "[redacted]"

// Bytes is a secret byte string. The zero value is empty. It is safe for concurrent use as long as nobody
// writes to what Reveal returned.
type Bytes struct {
	// A closure, because fmt calls no method on the unexported field of a foreign struct but walks into it.
	content func() []byte
}

// New returns a secret that holds a copy of content.
func New(content []byte) Bytes {
	held := bytes.Clone(content)
	return Bytes{content: func() []byte { return held }}
}

// Reveal returns the content itself, not a copy: read it, do not change it.
func (b Bytes) Reveal() []byte {
	if b.content == nil {
		return nil
	}
	return b.content()
}

// Empty tells whether there is no content.
func (b Bytes) Empty() bool { return len(b.Reveal()) == 0 }

// Equal compares in time that depends on the lengths only.
func (b Bytes) Equal(other Bytes) bool {
	return subtle.ConstantTimeCompare(b.Reveal(), other.Reveal()) == 1
}

// Format implements [fmt.Formatter] for every verb and flag.
func (Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalJSON writes [Redacted]; a document that must carry the secret reveals it on purpose.
func (Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// MarshalText writes [Redacted].
func (Bytes) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements [slog.LogValuer].
func (Bytes) LogValue() slog.Value { return slog.StringValue(Redacted) }

// UnmarshalJSON keeps the raw JSON value, whatever its kind: a JWK arrives as an object.
func (b *Bytes) UnmarshalJSON(raw []byte) error {
	*b = New(raw)
	return nil
}

// Text is a secret string, for passwords and tokens that arrive as JSON strings. The zero value is empty.
type Text struct{ content func() string } // a closure for the same reason as in Bytes

// NewText returns a secret that holds content.
func NewText(content string) Text { return Text{content: func() string { return content }} }

// Reveal returns the content.
func (t Text) Reveal() string {
	if t.content == nil {
		return ""
	}
	return t.content()
}

// Empty tells whether there is no content.
func (t Text) Empty() bool { return t.Reveal() == "" }

// Equal compares in time that depends on the lengths only.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// Format implements [fmt.Formatter] for every verb and flag.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalJSON writes [Redacted].
func (Text) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// MarshalText writes [Redacted].
func (Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements [slog.LogValuer].
func (Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// UnmarshalJSON takes a JSON string.
func (t *Text) UnmarshalJSON(raw []byte) error {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("a secret text must be a JSON string")
	}
	*t = NewText(s)
	return nil
}
