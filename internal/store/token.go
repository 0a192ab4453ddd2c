package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/keyturn/keyturn/internal/secret"
)

// A refresh token is the prefix and 48 random bytes in base64url. The first 16 bytes, the selector, stay the same
// for the whole family and find it without a scan; the other 32 are new with every rotation. The store keeps only
// SHA-256 of either, so what it holds opens nothing. Only somebody who has had a token of a family knows its
// selector, so a wrong rest under a right selector is a reuse and not a guess.
const (
	TokenPrefix   = "ktr_"
	selectorBytes = 16
	secretBytes   = 32
	tokenLen      = len(TokenPrefix) + (selectorBytes+secretBytes)*4/3
)

// ErrNotAToken is returned for a string that no store can have issued.
var ErrNotAToken = errors.New("not a refresh token")

// FamilyKey finds a family: the first half of SHA-256 of the selector.
type FamilyKey [16]byte

// TokenHash is SHA-256 of a whole token.
type TokenHash [sha256.Size]byte

// Equal compares in constant time.
func (h TokenHash) Equal(other TokenHash) bool {
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// Token is a refresh token. The zero value belongs to no family. It cannot print itself.
type Token struct{ raw secret.Bytes }

// NewToken returns the first token of a new family.
func NewToken() Token {
	var raw [selectorBytes + secretBytes]byte
	_, _ = rand.Read(raw[:]) // never fails
	return Token{secret.New(raw[:])}
}

// DeriveToken returns the first token of the family that a legacy session becomes: always the same for the same cookie
// and issuer (HKDF-SHA-256, RFC 5869). Who has the cookie can make it, and nobody else.
func DeriveToken(cookie secret.Text, issuer string) Token {
	raw := must(hkdf.Key(sha256.New, []byte(cookie.Reveal()), nil, "keyturn legacy session v1\x00"+issuer, selectorBytes+secretBytes))
	return Token{secret.New(raw)}
}

// Zero tells whether the token is the zero value.
func (t Token) Zero() bool { return t.raw.Empty() }

// Next returns a new token of the same family.
func (t Token) Next() Token {
	var raw [selectorBytes + secretBytes]byte
	copy(raw[:selectorBytes], t.raw.Reveal())
	_, _ = rand.Read(raw[selectorBytes:])
	return Token{secret.New(raw[:])}
}

// ParseToken reads what a client sent. The error never quotes it.
func ParseToken(text secret.Text) (Token, error) {
	s := text.Reveal()
	if len(s) != tokenLen || !strings.HasPrefix(s, TokenPrefix) {
		return Token{}, ErrNotAToken
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s[len(TokenPrefix):])
	if err != nil || len(raw) != selectorBytes+secretBytes { // the decoder skips line ends
		return Token{}, ErrNotAToken
	}
	return Token{secret.New(raw)}, nil
}

// Text is the token as the client gets it.
func (t Token) Text() secret.Text {
	return secret.NewText(TokenPrefix + base64.RawURLEncoding.EncodeToString(t.raw.Reveal()))
}

// Family finds the token's family.
func (t Token) Family() FamilyKey {
	var selector [selectorBytes]byte
	copy(selector[:], t.raw.Reveal())
	sum := sha256.Sum256(selector[:])
	return FamilyKey(sum[:16])
}

// Hash is what the store compares.
func (t Token) Hash() TokenHash { return sha256.Sum256(t.raw.Reveal()) }

// Seal encrypts the token's successor under a key derived (HKDF-SHA-256) from the token itself: only who presents
// the token again can read it.
func (t Token) Seal(successor Token) []byte {
	aead := t.aead()
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+selectorBytes+secretBytes+aead.Overhead())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, successor.raw.Reveal(), nil)
}

// Unseal opens what [Token.Seal] of the same token made.
func (t Token) Unseal(sealed []byte) (Token, error) {
	aead := t.aead()
	if len(sealed) < aead.NonceSize() {
		return Token{}, errors.New("the stored successor is damaged")
	}
	raw, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil || len(raw) != selectorBytes+secretBytes {
		return Token{}, errors.New("the stored successor is damaged")
	}
	return Token{secret.New(raw)}, nil
}

func (t Token) aead() cipher.AEAD {
	key := must(hkdf.Key(sha256.New, t.raw.Reveal(), nil, "keyturn refresh successor v1", 32))
	return must(cipher.NewGCM(must(aes.NewCipher(key))))
}

// must is for calls that fail for impossible lengths only.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// MarshalText writes the hash in base64url, for backends that keep families as JSON.
func (h TokenHash) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *TokenHash) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(raw) != len(h) {
		return errors.New("not a SHA-256 hash")
	}
	copy(h[:], raw)
	return nil
}
