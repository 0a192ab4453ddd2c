package tokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
)

var base64url = base64.RawURLEncoding

// Key is a private key to forge with; use [ParseKey]. It does not change.
type Key struct {
	// Algorithm is RS256, PS256, ES256 or EdDSA.
	Algorithm string
	// KID is the key's name.
	KID string
	// Public is the public JWK, as anybody can fetch it.
	Public []byte

	signer crypto.Signer
}

// ParseKey reads a private JWK with alg and kid.
func ParseKey(jwk []byte) (*Key, error) {
	var m map[string]string
	if err := json.Unmarshal(jwk, &m); err != nil {
		return nil, fmt.Errorf("a JWK: %w", err)
	}
	number := func(name string) *big.Int {
		raw, _ := base64url.DecodeString(m[name])
		return new(big.Int).SetBytes(raw)
	}
	k := &Key{Algorithm: m["alg"], KID: m["kid"]}
	secret, err := base64url.DecodeString(m["d"])
	if err != nil || len(secret) == 0 || k.KID == "" {
		return nil, fmt.Errorf("the JWK %q is not a private one with a kid", k.KID)
	}
	switch k.Algorithm {
	case "RS256", "PS256":
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}, D: number("d"), Primes: []*big.Int{number("p"), number("q")}}
		key.Precompute()
		k.signer = key
	case "ES256":
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
		if err != nil {
			return nil, err
		}
		k.signer = key
	case "EdDSA":
		k.signer = ed25519.NewKeyFromSeed(secret)
	default:
		return nil, fmt.Errorf("alg %q: RS256, PS256, ES256 or EdDSA", k.Algorithm)
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		delete(m, name)
	}
	k.Public, err = json.Marshal(m)
	return k, err
}

// sign makes the good signature of an algorithm that fits the key.
func (k *Key) sign(algorithm, input string) []byte {
	digest := sha256.Sum256([]byte(input))
	switch key := k.signer.(type) {
	case *rsa.PrivateKey:
		if algorithm == "PS256" {
			return must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: sha256.Size}))
		}
		return must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]))
	case *ecdsa.PrivateKey:
		r, s := signECDSA(key, digest[:])
		return pair(r, s)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	}
	panic("tokentest: a key that ParseKey does not make")
}

func signECDSA(key *ecdsa.PrivateKey, digest []byte) (r, s *big.Int) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		panic(err)
	}
	return r, s
}

// pair writes r and s as JWS does (RFC 7518, section 3.4).
func pair(r, s *big.Int) []byte {
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

// publicForms are the spellings of the public key that somebody's verifier once took for the secret of a MAC.
func (k *Key) publicForms() map[string][]byte {
	der := must(x509.MarshalPKIXPublicKey(k.signer.Public()))
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	forms := map[string][]byte{
		"PEM": block, "PEM without the last line break": block[:len(block)-1], "DER": der, "JWK": k.Public,
		"JWKS": []byte(`{"keys":[` + string(k.Public) + `]}`), "kid": []byte(k.KID), "nothing": nil,
	}
	switch public := k.signer.Public().(type) {
	case *rsa.PublicKey:
		forms["PKCS #1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(public)})
		forms["modulus"] = public.N.Bytes()
	case *ecdsa.PublicKey:
		forms["point"] = must(public.Bytes())
		forms["coordinate x"] = forms["point"][1:33]
	case ed25519.PublicKey:
		forms["point"] = public
		forms["point in hexadecimal"] = fmt.Appendf(nil, "%x", []byte(public))
	}
	return forms
}

// strangers are keys that no verifier knows, one a kind.
var strangers = map[string]func() *Key{
	"RSA": sync.OnceValue(func() *Key { return &Key{KID: "stranger", signer: must(rsa.GenerateKey(rand.Reader, 2048))} }),
	"EC": sync.OnceValue(func() *Key {
		return &Key{KID: "stranger", signer: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	}),
	"OKP": sync.OnceValue(func() *Key {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return &Key{KID: "stranger", signer: must(key, err)}
	}),
}

// stranger is a key of the same kind that the verifier does not know.
func (k *Key) stranger() *Key {
	kind := map[string]string{"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}[k.Algorithm]
	return strangers[kind]()
}

// jwk writes the public key without a kid.
func (k *Key) jwk() map[string]any {
	switch public := k.signer.Public().(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "n": base64url.EncodeToString(public.N.Bytes()), "e": "AQAB"}
	case *ecdsa.PublicKey:
		point := must(public.Bytes())
		return map[string]any{"kty": "EC", "crv": "P-256", "x": base64url.EncodeToString(point[1:33]), "y": base64url.EncodeToString(point[33:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64url.EncodeToString(public)}
	}
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
