package token

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/keyturn/keyturn/internal/secret"
)

// The sizes of an RSA modulus, in bits. Larger ones are refused because they would let a key slow the edge down.
const (
	MinRSABits = 2048
	MaxRSABits = 4096
)

// PrivateKey signs. It is made by [Generate] or [ParsePrivate] only, does not change and is safe for concurrent use.
// Printing it shows no key material.
type PrivateKey struct {
	public *PublicKey
	signer crypto.Signer
	jwk    secret.Bytes
}

// PublicKey verifies. It is made by [ParsePublic] or [PrivateKey.Public] only, does not change and is safe for
// concurrent use.
type PublicKey struct {
	kid       string
	algorithm Algorithm
	key       crypto.PublicKey
	jwk       []byte
}

// Generate makes a new key. rsaBits is 2048, 3072 or 4096, or 0 for 2048; it is ignored for ES256 and EdDSA.
func Generate(algorithm Algorithm, rsaBits int) (*PrivateKey, error) {
	raw, err := generateRaw(algorithm, rsaBits)
	if err != nil {
		return nil, err
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		return nil, fmt.Errorf("describe the new key: %w", err)
	}
	kid, err := thumbprint(key)
	if err != nil {
		return nil, err
	}
	document, err := describe(key, kid, algorithm)
	if err != nil {
		return nil, err
	}
	return ParsePrivate(document) // what was made is what will be read: the same checks, once more
}

func generateRaw(algorithm Algorithm, rsaBits int) (crypto.Signer, error) {
	switch algorithm {
	case RS256, PS256:
		bits := cmp.Or(rsaBits, MinRSABits)
		if bits != 2048 && bits != 3072 && bits != 4096 {
			return nil, fmt.Errorf("an RSA key of %d bits: choose 2048, 3072 or 4096", bits)
		}
		return rsa.GenerateKey(rand.Reader, bits)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("algorithm %q: choose RS256, PS256, ES256 or EdDSA", clip(string(algorithm)))
}

// describe writes the JWK with kid, alg and use, its members sorted by name: the same bytes for the same key.
func describe(key jwk.Key, kid string, algorithm Algorithm) ([]byte, error) {
	for name, value := range map[string]any{jwk.KeyIDKey: kid, jwk.AlgorithmKey: jwa.SignatureAlgorithm(algorithm), jwk.KeyUsageKey: "sig"} {
		if err := key.Set(name, value); err != nil {
			return nil, fmt.Errorf("describe the key: %w", err)
		}
	}
	return json.Marshal(key)
}

// JWK returns the private JWK (RFC 7517) in its one canonical form.
func (k *PrivateKey) JWK() secret.Bytes { return k.jwk }

// Public returns the public half.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// KID returns the RFC 7638 thumbprint.
func (k *PrivateKey) KID() string { return k.public.kid }

// Algorithm returns the algorithm that is pinned to the key.
func (k *PrivateKey) Algorithm() Algorithm { return k.public.algorithm }

// String tells which key this is and nothing of it.
func (k *PrivateKey) String() string { return "private key " + k.public.String() }

// GoString is String: %#v would otherwise walk into the key.
func (k *PrivateKey) GoString() string { return k.String() }

// KID returns the RFC 7638 thumbprint.
func (k *PublicKey) KID() string { return k.kid }

// Algorithm returns the algorithm that is pinned to the key.
func (k *PublicKey) Algorithm() Algorithm { return k.algorithm }

// Bits returns the size of an RSA modulus, 0 for a key of a fixed size.
func (k *PublicKey) Bits() int {
	if public, ok := k.key.(*rsa.PublicKey); ok {
		return public.N.BitLen()
	}
	return 0
}

// JWK returns a copy of the public JWK in its one canonical form.
func (k *PublicKey) JWK() []byte { return bytes.Clone(k.jwk) }

// String tells which key this is.
func (k *PublicKey) String() string { return string(k.algorithm) + " " + k.kid }

// JWKS writes a JWK set (RFC 7517, section 5), sorted by kid: the same bytes for the same keys in any order.
func JWKS(keys []*PublicKey) []byte {
	sorted := slices.SortedFunc(slices.Values(keys), func(a, b *PublicKey) int { return cmp.Compare(a.kid, b.kid) })
	out := []byte(`{"keys":[`)
	for i, k := range sorted {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, k.jwk...)
	}
	return append(out, `]}`...)
}

// KeySet finds a key by its kid. The zero value knows none. It does not change and is safe for concurrent use.
type KeySet struct{ byKID map[string]*PublicKey }

// NewKeySet returns the set of keys; two of the same kid are refused.
func NewKeySet(keys ...*PublicKey) (KeySet, error) {
	set := KeySet{byKID: make(map[string]*PublicKey, len(keys))}
	for _, k := range keys {
		if k == nil || k.key == nil {
			return KeySet{}, fmt.Errorf("a key set cannot hold an empty key")
		}
		if set.byKID[k.kid] != nil {
			return KeySet{}, fmt.Errorf("kid %s is there twice", k.kid)
		}
		set.byKID[k.kid] = k
	}
	return set, nil
}

// Find returns the key of that kid, nil if there is none.
func (s KeySet) Find(kid string) *PublicKey { return s.byKID[kid] }

// KIDs returns the kids, sorted.
func (s KeySet) KIDs() []string {
	kids := make([]string, 0, len(s.byKID))
	for kid := range s.byKID {
		kids = append(kids, kid)
	}
	slices.Sort(kids)
	return kids
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
