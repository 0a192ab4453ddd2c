package probe

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// Lifetime is how long a token counts.
const Lifetime = time.Minute

// drift is how far the edge's clock may be behind the manager's.
const drift = time.Minute

const (
	prefix    = "keyturn-probe."
	nonceSize = 22 // characters: 128 bits
	macSize   = 43
	maxToken  = 128
	minSecret = 16
)

// The two uses of the key.
const (
	forToken  = "token"
	forAnswer = "answer"
)

// Key makes and recognises the tokens of one TokenService. The zero value recognises nothing.
type Key struct{ key secret.Bytes }

// NewKey derives the key from the secret of the feed, without the white space around it.
func NewKey(feed []byte) (Key, error) {
	feed = bytes.TrimSpace(feed)
	if len(feed) < minSecret {
		return Key{}, errors.New("probe: the feed's secret is too short")
	}
	key, err := hkdf.Key(sha256.New, feed, nil, "keyturn.dev/probe/v1", sha256.Size)
	if err != nil {
		return Key{}, err
	}
	return Key{secret.New(key)}, nil
}

// Nonce makes a nonce of 16 random bytes.
func Nonce(random [16]byte) string { return base64.RawURLEncoding.EncodeToString(random[:]) }

// Mint makes the token for a policy. nonce is one of [Nonce].
func (k Key) Mint(policy, nonce string, now time.Time) secret.Text {
	expires := strconv.FormatInt(now.Add(Lifetime).Unix(), 10)
	return secret.NewText(prefix + nonce + "." + expires + "." + k.mac(forToken, policy, nonce, expires))
}

// LooksLike tells at once of almost every other token that it is no probe.
func LooksLike(raw string) bool { return strings.HasPrefix(raw, prefix) }

// Read recognises a token for the policy, and returns its nonce. Every other one, also a probe of another policy, is none.
func (k Key) Read(raw, policy string, now time.Time) (nonce string, ok bool) {
	rest, found := strings.CutPrefix(raw, prefix)
	if !found || len(raw) > maxToken || k.key.Empty() {
		return "", false
	}
	nonce, rest, _ = strings.Cut(rest, ".")
	expires, mac, found := strings.Cut(rest, ".")
	if !found || len(nonce) != nonceSize || len(mac) != macSize {
		return "", false
	}
	if !hmac.Equal([]byte(mac), []byte(k.mac(forToken, policy, nonce, expires))) {
		return "", false
	}
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		return "", false
	}
	left := time.Unix(seconds, 0).Sub(now)
	return nonce, left > 0 && left <= Lifetime+drift
}

// mac is over texts that have no line break, which all are: names, base64url and digits.
func (k Key) mac(use string, parts ...string) string {
	m := hmac.New(sha256.New, k.key.Reveal())
	m.Write([]byte(use))
	for _, part := range parts {
		m.Write([]byte{'\n'})
		m.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
