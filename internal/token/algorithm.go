package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
)

// Algorithm is a JWS algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1). It is pinned to a key, never chosen by
// a token. The zero value is no algorithm.
type Algorithm string

// The algorithms that Keyturn signs with.
const (
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// Algorithms are all of them, in the order of the documentation.
var Algorithms = [...]Algorithm{RS256, PS256, ES256, EdDSA}

// Valid tells whether a is one of [Algorithms].
func (a Algorithm) Valid() bool { return a == RS256 || a == PS256 || a == ES256 || a == EdDSA }

// es256Size is the length of r and of s (RFC 7518, section 3.4).
const es256Size = 32

var pssOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256} // RFC 7518, section 3.5

func sign(a Algorithm, key crypto.Signer, input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if a == PS256 {
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], pssOptions)
		}
		return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 2*es256Size)
		r.FillBytes(out[:es256Size])
		s.FillBytes(out[es256Size:])
		return out, nil
	case ed25519.PrivateKey:
		return ed25519.Sign(k, input), nil
	}
	return nil, fmt.Errorf("no signature with a %T", key)
}

var errSignature = errors.New("the signature does not verify")

// verifySignature takes each signature in the one form and of the one length that its algorithm has: r and s side by
// side rather than DER, as many bytes as the modulus, a salt as long as the hash. Of ES256 both s and -s are good, as
// RFC 7518 has it and other signers make them: a token can so be spelt anew by whoever has it, and nothing may take two
// texts for two tokens; that is what `jti` is for.
func verifySignature(a Algorithm, key crypto.PublicKey, text string, signature []byte) error {
	input, good := []byte(text), false
	switch k := key.(type) {
	case *rsa.PublicKey:
		digest := sha256.Sum256(input)
		switch a { //nolint:exhaustive // the others are not for this kind of key
		case PS256:
			good = rsa.VerifyPSS(k, crypto.SHA256, digest[:], signature, pssOptions) == nil
		case RS256:
			good = rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
		}
	case *ecdsa.PublicKey:
		if a == ES256 && len(signature) == 2*es256Size {
			r := new(big.Int).SetBytes(signature[:es256Size])
			s := new(big.Int).SetBytes(signature[es256Size:])
			digest := sha256.Sum256(input)
			good = r.Sign() > 0 && s.Sign() > 0 && ecdsa.Verify(k, digest[:], r, s)
		}
	case ed25519.PublicKey:
		good = a == EdDSA && len(k) == ed25519.PublicKeySize && len(signature) == ed25519.SignatureSize && ed25519.Verify(k, input, signature)
	}
	if !good {
		return errSignature
	}
	return nil
}
