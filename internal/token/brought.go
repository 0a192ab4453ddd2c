package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// MaxBroughtBytes bounds a brought key before it is read; a PKCS#8 RSA-4096 key in PEM takes 3,300.
const MaxBroughtBytes = 16 << 10

// Brought is a private key that its owner made elsewhere, read strictly and found good. It is made by [ParseBrought] only, does
// not change, is safe for concurrent use, and prints nothing of the key.
type Brought struct {
	keys  []*PrivateKey // one for each algorithm that the key is good for: the same numbers, pinned to it
	named string
}

// KID returns the RFC 7638 thumbprint. It is the same whatever the algorithm.
func (b *Brought) KID() string { return b.keys[0].KID() }

// Named returns the kid that a JWK gave itself, empty if none. It names nothing here.
func (b *Brought) Named() string { return b.named }

// Bits returns the size of an RSA modulus, 0 for a key of a fixed size.
func (b *Brought) Bits() int { return b.keys[0].Public().Bits() }

// Algorithms returns what the key is good for: RS256 and PS256 share RSA keys, unless a JWK says which.
func (b *Brought) Algorithms() []Algorithm {
	var all []Algorithm
	for _, k := range b.keys {
		all = append(all, k.Algorithm())
	}
	return all
}

// Key returns the key pinned to one of its algorithms; false if it is not good for it.
func (b *Brought) Key(algorithm Algorithm) (*PrivateKey, bool) {
	for _, k := range b.keys {
		if k.Algorithm() == algorithm {
			return k, true
		}
	}
	return nil, false
}

// String tells which key this is and nothing of it.
func (b *Brought) String() string { return "brought " + b.keys[0].String() }

// GoString is String: %#v would otherwise walk into the key.
func (b *Brought) GoString() string { return b.String() }

// ParseBrought reads a private key as people have them: one PEM block (PKCS#8, PKCS#1 or SEC1) or one JWK (RFC 7517), at most
// [MaxBroughtBytes] long, with nothing before or after it but white space. Every number is checked against every other, and what is
// known to be weak is refused: see [checkStrength]. The error says how to mend it and never quotes the input.
func ParseBrought(entry []byte) (*Brought, error) {
	if len(entry) > MaxBroughtBytes {
		return nil, fmt.Errorf("it has %d bytes, and at most %d are read: one private key is shorter", len(entry), MaxBroughtBytes)
	}
	text := bytes.TrimSpace(entry)
	switch {
	case len(text) == 0:
		return nil, errors.New("it is empty: put one private key there, PEM or JWK")
	case text[0] == '{':
		return broughtJWK(string(text))
	case bytes.HasPrefix(text, []byte(pemBegin)):
		return broughtPEM(text)
	case bytes.HasPrefix(text, []byte("LS0tLS1CRUdJTi")) || bytes.HasPrefix(text, []byte("ey")):
		return nil, errors.New("it is base64 of a key rather than a key: it was encoded once too often; with kubectl create secret, or under stringData, the file goes in as it is")
	case bytes.Contains(text, []byte(pemBegin)):
		return nil, errors.New("there is something before the PEM block: leave nothing but the block")
	}
	return nil, errors.New("it is neither a PEM block nor a JWK: a DER file becomes PEM with openssl pkey -inform DER -in key.der -out key.pem")
}

// newBrought pins a key, whose numbers have been checked, to each algorithm that it is good for, by way of the one canonical JWK:
// what is stored is read by the same checks as a key that was made here.
func newBrought(signer crypto.Signer, named string, algorithms ...Algorithm) (*Brought, error) {
	b := &Brought{named: named}
	for _, algorithm := range algorithms {
		key, err := jwk.FromRaw(signer)
		if err != nil {
			return nil, errors.New("the key cannot be described as a JWK")
		}
		kid, err := thumbprint(key)
		if err != nil {
			return nil, err
		}
		document, err := describe(key, kid, algorithm)
		if err != nil {
			return nil, errors.New("the key cannot be described as a JWK")
		}
		pinned, err := ParsePrivate(document)
		if err != nil {
			return nil, err
		}
		b.keys = append(b.keys, pinned)
	}
	return b, nil
}

func broughtRSA(n *rsaNumbers, named string, algorithms ...Algorithm) (*Brought, error) {
	if err := n.checkStrength(); err != nil {
		return nil, err
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n.n, E: rsaExponent}, D: n.d, Primes: n.primes()}
	key.Precompute()
	if key.Validate() != nil {
		return nil, errors.New("the RSA key's numbers do not belong together: make another key")
	}
	return newBrought(key, named, algorithms...)
}

// minScalarBits is the length from which an ECDSA scalar is no accident: a shorter one is a counter, a date, a word.
const minScalarBits = 160

// broughtEC takes the scalar and, if there is one, the point, as SEC 1 writes it.
func broughtEC(scalar, point []byte, named string) (*Brought, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, errors.New("the EC key's private number must have 32 bytes, and lie between 1 and the order of P-256: make another key")
	}
	if key.D.BitLen() < minScalarBits { //nolint:staticcheck // only its length is asked
		return nil, errors.New("the EC key's private number is so small that it can be guessed: make another key")
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, errors.New("the EC key has no public half")
	}
	compressed := append([]byte{2 + public[len(public)-1]&1}, public[1:33]...)
	if len(point) > 0 && !bytes.Equal(point, public) && !bytes.Equal(point, compressed) {
		return nil, errors.New("the EC key's public point does not belong to its private number: the file is damaged or forged")
	}
	return newBrought(key, named, ES256)
}

// broughtEd25519 takes the seed and, if there is one, the public half.
func broughtEd25519(seed, public []byte, named string) (*Brought, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("the Ed25519 key must have 32 bytes")
	}
	if bytes.Count(seed, seed[:1]) == len(seed) {
		return nil, errors.New("the Ed25519 key is one byte, repeated: make another key")
	}
	key := ed25519.NewKeyFromSeed(seed)
	derived, _ := key.Public().(ed25519.PublicKey)
	if len(public) > 0 && subtle.ConstantTimeCompare(public, derived) != 1 {
		return nil, errors.New("the Ed25519 key's public half does not belong to its private half: the file is damaged or forged")
	}
	return newBrought(key, named, EdDSA)
}

// The members that a brought JWK may have beside the numbers (RFC 7517, section 4; ext is what browsers add).
var broughtMembers = []string{"kty", "kid", "alg", "use", "key_ops", "ext"}

// broughtJWK reads a JWK. It may lack what a stored one must have: kid, alg and use.
func broughtJWK(document string) (*Brought, error) {
	members, err := readObject(document)
	if err != nil {
		return nil, errors.New("it is not one JSON object whose members have names of their own: write the JWK anew")
	}
	kty := members.text("kty")
	switch {
	case kty == "oct":
		return nil, errors.New("the JWK is a shared secret (kty oct): whoever verifies with it can sign; bring an RSA, EC or OKP key")
	case len(publicMembers[kty]) == 0:
		return nil, errors.New("the JWK's kty must be RSA, EC or OKP")
	}
	if err := checkMembers(members, kty); err != nil {
		return nil, err
	}
	algorithms, err := algorithmsOf(members, kty)
	if err != nil {
		return nil, err
	}
	numbers := map[string][]byte{}
	for _, name := range slices.Concat(publicMembers[kty], privateMembers[kty]) {
		if name == "crv" {
			continue
		}
		value, ok := decodeSegment(members.text(name))
		if !ok || len(value) == 0 {
			return nil, fmt.Errorf("the JWK's %s is missing or not canonical base64url: bring the whole private key", name)
		}
		numbers[name] = value
	}
	named := members.text("kid")
	switch kty {
	case "RSA":
		return broughtRSA(rsaOfJWK(numbers), named, algorithms...)
	case "EC":
		if len(numbers["x"]) != es256Size || len(numbers["y"]) != es256Size {
			return nil, errors.New("the JWK's x and y must have 32 bytes each")
		}
		return broughtEC(numbers["d"], slices.Concat([]byte{4}, numbers["x"], numbers["y"]), named)
	}
	return broughtEd25519(numbers["d"], numbers["x"], named)
}

// checkMembers refuses what one reader honours and another does not, and keys that are for something else.
func checkMembers(members object, kty string) error {
	if _, more := members.get("oth"); more {
		return errors.New("the RSA key has more than two primes (oth): make one with two")
	}
	if _, private := members.get("d"); !private {
		return errors.New("the JWK is a public key, its d is absent: bring the private key")
	}
	allowed := slices.Concat(broughtMembers, publicMembers[kty], privateMembers[kty])
	for _, m := range members {
		if !slices.Contains(allowed, m.name) {
			return errors.New("the JWK has a member that a private signing key does not have here: leave " + strings.Join(allowed, ", "))
		}
	}
	if _, given := members.get("use"); given && members.text("use") != "sig" {
		return errors.New("the JWK's use is not sig: a key that encrypts must not sign as well; bring one that is for signatures")
	}
	if raw, given := members.get("key_ops"); given {
		operations, ok := asWords(raw)
		if !ok || !slices.Contains(operations, "sign") || slices.ContainsFunc(operations, func(o string) bool { return o != "sign" && o != "verify" }) {
			return errors.New("the JWK's key_ops must name sign, and nothing besides but verify: bring a key that is for signatures only")
		}
	}
	return nil
}

// algorithmsOf finds what a key is good for by its kind and by what it says itself.
func algorithmsOf(members object, kty string) ([]Algorithm, error) {
	crv := members.text("crv")
	good := map[string][]Algorithm{"RSA": {RS256, PS256}, "ECP-256": {ES256}, "OKPEd25519": {EdDSA}}[kty+crv]
	if len(good) == 0 {
		return nil, fmt.Errorf("the JWK's crv must be %s", map[string]string{"RSA": "absent", "EC": "P-256", "OKP": "Ed25519"}[kty])
	}
	if _, given := members.get("alg"); !given {
		return good, nil
	}
	if alg := Algorithm(members.text("alg")); slices.Contains(good, alg) {
		return []Algorithm{alg}, nil
	}
	return nil, fmt.Errorf("the JWK's alg is none that its kind of key has here: leave alg away, or write %s", good[0])
}
