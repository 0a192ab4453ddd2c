package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/keyturn/keyturn/internal/strictjson"
)

// The bounds of somebody else's key set.
const (
	maxKeys = 64
	// maxSameKID is how many keys of one name are tried for a token.
	maxSameKID    = 4
	minRSABits    = 2048
	maxRSABits    = 8192
	minRSAExp     = 65537
	p256Bytes     = 32
	uncompressed  = 4 // the first byte of a point with both coordinates
	kindRSA       = "RSA"
	kindEC        = "EC"
	kindOKP       = "OKP"
	useSignatures = "sig"
)

// publicKey is a key of somebody else's set.
type publicKey struct {
	kid string
	// algorithms are those that it may verify: pinned by the set, or those of its kind.
	algorithms []string
	key        crypto.PublicKey
}

// keySet is somebody else's keys. It is immutable; the zero value verifies nothing.
type keySet struct{ keys []publicKey }

// readKeySet reads a JWK Set (RFC 7517, section 5). A key that is not for these algorithms or not well-formed is left
// out, as the RFC advises; a set without any other is an error, and one with a private key too.
func readKeySet(raw []byte) (*keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(raw, &set) != nil {
		return nil, errors.New("the JWKS is not a JSON object with a list of keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, errors.New("the JWKS has more than 64 keys")
	}
	read := &keySet{}
	for _, document := range set.Keys {
		o, err := strictjson.Read(document)
		if err != nil {
			continue
		}
		for _, private := range []string{"d", "p", "k"} {
			if _, given := o[private]; given {
				return nil, errors.New("the JWKS holds a private key or a shared secret: everybody who can read it can sign")
			}
		}
		if key, ok := readPublicKey(o); ok {
			read.keys = append(read.keys, key)
		}
	}
	if len(read.keys) == 0 {
		return nil, errors.New("the JWKS has no key for RS256, PS256, ES256 or EdDSA")
	}
	return read, nil
}

func readPublicKey(o object) (publicKey, bool) {
	key := publicKey{}
	key.kid, _ = o.Text("kid")
	kty, _ := o.Text("kty")
	if _, given := o["use"]; given {
		if use, _ := o.Text("use"); use != useSignatures {
			return key, false
		}
	}
	switch kty {
	case kindRSA:
		key.algorithms = []string{"RS256", "PS256"}
		key.key = readRSA(o)
	case kindEC:
		key.algorithms = []string{"ES256"}
		key.key = readEC(o)
	case kindOKP:
		key.algorithms = []string{"EdDSA"}
		key.key = readEd25519(o)
	}
	if _, given := o["alg"]; given {
		pinned, _ := o.Text("alg")
		if !slices.Contains(key.algorithms, pinned) {
			return key, false
		}
		key.algorithms = []string{pinned}
	}
	return key, key.key != nil
}

func bytesOf(o object, name string) []byte {
	text, _ := o.Text(name)
	raw, ok := decodeSegment(text)
	if !ok {
		return nil
	}
	return raw
}

func readRSA(o object) crypto.PublicKey {
	n, e := new(big.Int).SetBytes(bytesOf(o, "n")), new(big.Int).SetBytes(bytesOf(o, "e"))
	if n.BitLen() < minRSABits || n.BitLen() > maxRSABits || n.Bit(0) == 0 || e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < minRSAExp {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

func readEC(o object) crypto.PublicKey {
	x, y := bytesOf(o, "x"), bytesOf(o, "y")
	if crv, _ := o.Text("crv"); crv != "P-256" || len(x) != p256Bytes || len(y) != p256Bytes {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{uncompressed}, x, y))
	if err != nil {
		return nil
	}
	return key
}

func readEd25519(o object) crypto.PublicKey {
	x := bytesOf(o, "x")
	if crv, _ := o.Text("crv"); crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil
	}
	return ed25519.PublicKey(x)
}

// candidates are the keys that the token may be signed with. Without a kid there must be one key only (OpenID Connect
// Core 1.0, section 10.1).
func (s *keySet) candidates(t *subjectToken) []crypto.PublicKey {
	if s == nil || t.kid == "" && len(s.keys) != 1 {
		return nil
	}
	var found []crypto.PublicKey
	for _, k := range s.keys {
		if (t.kid == "" || k.kid == t.kid) && slices.Contains(k.algorithms, t.alg) && len(found) < maxSameKID {
			found = append(found, k.key)
		}
	}
	return found
}

// verify checks the signature, and once more, by a reader of its own, issuer, audience and expiry.
func verify(ctx context.Context, t *subjectToken, keys []crypto.PublicKey, audience string, now time.Time) error {
	verifier := oidc.NewVerifier(t.issuer, &oidc.StaticKeySet{PublicKeys: keys}, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: []string{t.alg}, Now: func() time.Time { return now },
	})
	if _, err := verifier.Verify(ctx, t.raw); err != nil {
		return deny(BadSignature) // the library's error quotes the token
	}
	return nil
}
