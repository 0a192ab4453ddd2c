package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/keyturn/keyturn/internal/secret"
)

// MaxJWKBytes bounds a JWK before it is read; an RSA-4096 private key takes 3,300.
const MaxJWKBytes = 8 << 10

const rsaExponent = 65537

// The members of a JWK that are read (RFC 7518, section 6; RFC 8037, section 2). Any other is refused: a certificate,
// an address or a third prime would be something that one reader honours and another does not.
var (
	commonMembers  = []string{"kty", "kid", "alg", "use"}
	publicMembers  = map[string][]string{"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
	privateMembers = map[string][]string{"RSA": {"d", "p", "q", "dp", "dq", "qi"}, "EC": {"d"}, "OKP": {"d"}}
	numberBytes    = map[string]int{"P-256": 32, "Ed25519": ed25519.PublicKeySize}
)

// ParsePrivate reads a private JWK strictly: bounded, exactly the members of its kind, a modulus of [MinRSABits] to
// [MaxRSABits], the public half that belongs to the private one, kid the RFC 7638 thumbprint, use `sig`, and an alg of
// [Algorithms] that fits. RSA keys come back precomputed. The error never quotes the input.
func ParsePrivate(document []byte) (*PrivateKey, error) {
	members, err := readKey(document, true)
	if err != nil {
		return nil, err
	}
	parsed, algorithm, err := interpret(document, members)
	if err != nil {
		return nil, err
	}
	signer, err := privateKey(parsed, members)
	if err != nil {
		return nil, err
	}
	half, err := parsed.PublicKey()
	if err != nil {
		return nil, errors.New("the JWK has no public half")
	}
	public, err := newPublic(half, signer.Public(), algorithm)
	if err != nil {
		return nil, err
	}
	canonical, err := describe(parsed, public.kid, algorithm)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{public: public, signer: signer, jwk: secret.New(canonical)}, nil
}

// ParsePublic reads a public JWK as strictly as [ParsePrivate] does; one that carries a private half is refused.
func ParsePublic(document []byte) (*PublicKey, error) {
	members, err := readKey(document, false)
	if err != nil {
		return nil, err
	}
	parsed, algorithm, err := interpret(document, members)
	if err != nil {
		return nil, err
	}
	var key crypto.PublicKey
	if err := parsed.Raw(&key); err != nil {
		return nil, errors.New("the JWK is not a usable public key")
	}
	return newPublic(parsed, key, algorithm)
}

// readKey checks the document's shape before a library sees it.
func readKey(document []byte, private bool) (object, error) {
	if len(document) > MaxJWKBytes {
		return nil, fmt.Errorf("the JWK has %d bytes, at most %d are read", len(document), MaxJWKBytes)
	}
	members, err := readObject(string(document))
	if err != nil {
		return nil, fmt.Errorf("the JWK is %w", err)
	}
	kty := members.text("kty")
	numbers := publicMembers[kty]
	if private {
		numbers = slices.Concat(numbers, privateMembers[kty])
	}
	if len(publicMembers[kty]) == 0 {
		return nil, errors.New("the JWK's kty must be RSA, EC or OKP")
	}
	for _, m := range members {
		if !slices.Contains(numbers, m.name) && !slices.Contains(commonMembers, m.name) {
			return nil, fmt.Errorf("the JWK has a member %q, which a %s does not have here", clip(m.name), kind(private))
		}
	}
	for _, name := range numbers {
		text := members.text(name)
		number, ok := decodeSegment(text)
		if text == "" || (name != "crv" && !ok) {
			return nil, fmt.Errorf("the JWK's %s is missing or not canonical base64url", name)
		}
		// Of a fixed size (RFC 7518, section 6.2; RFC 8037, section 2). jwx panics where a coordinate is longer.
		if size := numberBytes[members.text("crv")]; name != "crv" && size != 0 && len(number) != size {
			return nil, fmt.Errorf("the JWK's %s has %d bytes, not %d", name, len(number), size)
		}
	}
	if members.text("use") != "sig" {
		return nil, errors.New("the JWK's use must be sig")
	}
	return members, nil
}

func kind(private bool) string {
	if private {
		return "private key"
	}
	return "public key"
}

// interpret lets jwx parse the key, and checks kid and alg against it.
func interpret(document []byte, members object) (jwk.Key, Algorithm, error) {
	algorithm := Algorithm(members.text("alg"))
	if err := fits(algorithm, members); err != nil {
		return nil, "", err
	}
	parsed, err := jwk.ParseKey(document)
	if err != nil {
		return nil, "", errors.New("the JWK cannot be parsed") // the library's error may quote the key
	}
	kid, err := thumbprint(parsed)
	if err != nil {
		return nil, "", err
	}
	if given := members.text("kid"); given != kid {
		return nil, "", fmt.Errorf("the JWK's kid is %q, its RFC 7638 thumbprint is %s", clip(given), kid)
	}
	return parsed, algorithm, nil
}

func fits(algorithm Algorithm, members object) error {
	want := map[Algorithm][2]string{RS256: {"RSA", ""}, PS256: {"RSA", ""}, ES256: {"EC", "P-256"}, EdDSA: {"OKP", "Ed25519"}}[algorithm]
	if want[0] == "" {
		return fmt.Errorf("the JWK's alg is %q: it must be RS256, PS256, ES256 or EdDSA", clip(string(algorithm)))
	}
	if members.text("kty") != want[0] || members.text("crv") != want[1] {
		return fmt.Errorf("the JWK's alg %s does not fit its kty and crv", algorithm)
	}
	return nil
}

func thumbprint(key jwk.Key) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errors.New("the JWK has no thumbprint")
	}
	return encoding.EncodeToString(sum), nil
}

// newPublic checks the mathematical side of a public key.
func newPublic(parsed jwk.Key, key crypto.PublicKey, algorithm Algorithm) (*PublicKey, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return nil, fmt.Errorf("the RSA modulus has %d bits: %d to %d are accepted", bits, MinRSABits, MaxRSABits)
		}
		if k.E != rsaExponent || k.N.Bit(0) == 0 {
			return nil, errors.New("the RSA key must have the exponent 65537 and an odd modulus")
		}
	case *ecdsa.PublicKey:
		if _, err := k.ECDH(); err != nil {
			return nil, errors.New("the EC key is not a point of its curve")
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize || smallOrder(k) {
			return nil, errors.New("the Ed25519 key is not a usable point")
		}
	default:
		return nil, errors.New("the JWK is not a public key")
	}
	kid, err := thumbprint(parsed)
	if err != nil {
		return nil, err
	}
	document, err := describe(parsed, kid, algorithm)
	if err != nil {
		return nil, err
	}
	return &PublicKey{kid: kid, algorithm: algorithm, key: key, jwk: document}, nil
}

// privateKey returns the raw key after making sure that its halves belong together.
func privateKey(parsed jwk.Key, members object) (crypto.Signer, error) {
	var raw any
	if err := parsed.Raw(&raw); err != nil {
		return nil, errors.New("the JWK is not a usable private key")
	}
	mismatch := errors.New("the JWK's public half does not belong to its private half")
	switch k := raw.(type) {
	case *rsa.PrivateKey:
		return checkRSA(k, members)
	case *ecdsa.PrivateKey:
		scalar, _ := decodeSegment(members.text("d"))
		derived, err := ecdsa.ParseRawPrivateKey(k.Curve, scalar)
		if err != nil || !derived.PublicKey.Equal(&k.PublicKey) {
			return nil, mismatch
		}
		return derived, nil
	case ed25519.PrivateKey:
		seed, _ := decodeSegment(members.text("d"))
		x, _ := decodeSegment(members.text("x"))
		if len(seed) != ed25519.SeedSize {
			return nil, errors.New("the Ed25519 key must have 32 bytes")
		}
		derived := ed25519.NewKeyFromSeed(seed)
		if !derived.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(x)) {
			return nil, mismatch
		}
		return derived, nil
	}
	return nil, errors.New("the JWK is not a private key")
}

func checkRSA(k *rsa.PrivateKey, members object) (crypto.Signer, error) {
	if bits := k.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
		return nil, fmt.Errorf("the RSA modulus has %d bits: %d to %d are accepted", bits, MinRSABits, MaxRSABits)
	}
	fresh := &rsa.PrivateKey{PublicKey: k.PublicKey, D: k.D, Primes: k.Primes}
	fresh.Precompute() // from the primes, not from what the document says about them
	if fresh.Validate() != nil {
		return nil, errors.New("the RSA key's numbers do not belong together")
	}
	for name, want := range map[string]*big.Int{"dp": fresh.Precomputed.Dp, "dq": fresh.Precomputed.Dq, "qi": fresh.Precomputed.Qinv} {
		given, _ := decodeSegment(members.text(name))
		if want == nil || new(big.Int).SetBytes(given).Cmp(want) != 0 {
			return nil, fmt.Errorf("the RSA key's %s does not belong to its primes", name)
		}
	}
	return fresh, nil
}

// smallOrderPoints are the encodings of the points whose order divides 8, without the sign bit, canonical or not. A
// signature under such a key verifies for messages that nobody signed.
var smallOrderPoints = [...]string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func smallOrder(point []byte) bool {
	unsigned := slices.Clone(point)
	unsigned[len(unsigned)-1] &= 0x7f
	return slices.Contains(smallOrderPoints[:], hex.EncodeToString(unsigned))
}
