package tokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

const bad = policy.BadSignature

// flip turns one bit round.
func flip(at func(size int) int, bit byte) func(*forged) {
	return signature(func(_ string, s []byte) []byte { s[at(len(s))] ^= bit; return s })
}

// over is the good signature of something else.
func over(change func(f *forged, input string) string) func(*forged) {
	return func(f *forged) {
		f.signature = func(input string, _ []byte) []byte { return f.key.sign(f.key.Algorithm, change(f, input)) }
	}
}

// signatureAttacks are for every algorithm.
var signatureAttacks = []attack{
	{"signature", "first bit", "RFC 7515 §5.2", bad, flip(func(int) int { return 0 }, 0x80), nil},
	{"signature", "first byte, last bit", "RFC 7515 §5.2", bad, flip(func(int) int { return 0 }, 1), nil},
	{"signature", "bit in the middle", "RFC 7515 §5.2", bad, flip(func(n int) int { return n / 2 }, 8), nil},
	{"signature", "bit of the last byte", "RFC 7515 §5.2", bad, flip(func(n int) int { return n - 1 }, 1), nil},
	{"signature", "top bit of the last byte", "RFC 7515 §5.2", bad, flip(func(n int) int { return n - 1 }, 0x80), nil},
	{"signature", "last byte missing", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return s[:len(s)-1] }), nil},
	{"signature", "first byte missing", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return s[1:] }), nil},
	{"signature", "half", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return s[:len(s)/2] }), nil},
	{"signature", "zero before it", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return append([]byte{0}, s...) }), nil},
	{"signature", "zero behind it", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return append(s, 0) }), nil},
	{"signature", "twice", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return append(s, s...) }), nil},
	{"signature", "backwards", "RFC 7515 §5.2", bad, signature(func(_ string, s []byte) []byte { slices.Reverse(s); return s }), nil},
	{"signature", "all zero", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return make([]byte, len(s)) }), nil},
	{"signature", "all ones", "RFC 8725 §3.3", bad, signature(func(_ string, s []byte) []byte { return slices.Repeat([]byte{0xff}, len(s)) }), nil},
	{"signature", "one byte", "RFC 8725 §3.3", bad, fixed([]byte{0}), nil},
	{"signature", "a hash of the input", "RFC 7515 §5.2", bad, signature(func(input string, _ []byte) []byte { h := sha256.Sum256([]byte(input)); return h[:] }), nil},
	{"signature", "its own text", "RFC 7515 §5.2", bad, signature(func(_ string, s []byte) []byte { return []byte(base64url.EncodeToString(s)) }), nil},
	{"signature", "of another payload", "RFC 7515 §5.2", bad, func(f *forged) {
		other := strings.Split(f.raw(), ".")[2]
		f.payload["sub"] = "root"
		f.token = func(raw string) string { return raw[:strings.LastIndexByte(raw, '.')+1] + other }
	}, nil},
	{"signature", "of another header", "RFC 7515 §5.2", bad, func(f *forged) {
		other := strings.Split(f.raw(), ".")[2]
		f.header["x"] = 1
		f.token = func(raw string) string { return raw[:strings.LastIndexByte(raw, '.')+1] + other }
	}, nil},
	{"signature", "of the payload alone", "RFC 7515 §5.1", bad, over(func(_ *forged, input string) string { return input[strings.IndexByte(input, '.')+1:] }), nil},
	{"signature", "of the header alone", "RFC 7515 §5.1", bad, over(func(_ *forged, input string) string { return input[:strings.IndexByte(input, '.')] }), nil},
	{"signature", "of the texts not encoded", "RFC 7515 §5.1", bad, over(func(f *forged, _ string) string { h, p := f.texts(); return h + "." + p }), nil},
	{"signature", "of the input and a dot", "RFC 7515 §5.1", bad, over(func(_ *forged, input string) string { return input + "." }), nil},
	{"signature", "of the input and a line break", "RFC 7515 §5.1", bad, over(func(_ *forged, input string) string { return input + "\n" }), nil},
	{"signature", "of nothing", "RFC 7515 §5.1", bad, over(func(*forged, string) string { return "" }), nil},
	{"signature", "of the input's hash", "RFC 7515 §5.1", bad, over(func(_ *forged, input string) string { h := sha256.Sum256([]byte(input)); return string(h[:]) }), nil},
}

var (
	order = elliptic.P256().Params().N
	prime = elliptic.P256().Params().P
	zero  = new(big.Int)
	one   = big.NewInt(1)
)

// numbers is a signature of two chosen numbers, which anybody can write.
func numbers(name, source string, r, s *big.Int) attack {
	return attack{"ecdsa", name, source, bad, fixed(pair(r, s)), onES}
}

// hashed signs by ECDSA over another digest.
func hashed(digest func(input string) []byte, write func(r, s *big.Int) []byte) func(*forged) {
	return func(f *forged) {
		f.signature = func(input string, _ []byte) []byte {
			r, s := signECDSA(f.key.signer.(*ecdsa.PrivateKey), digest(input))
			return write(r, s)
		}
	}
}

func sha256Of(input string) []byte { h := sha256.Sum256([]byte(input)); return h[:] }

func der(r, s *big.Int) []byte { return must(asn1.Marshal(struct{ R, S *big.Int }{r, s})) }

// curveAttacks are for ECDSA.
var curveAttacks = []attack{
	numbers("psychic: r = s = 0", "CVE-2022-21449", zero, zero), numbers("r = 0, s = 1", "CVE-2022-21449", zero, one), numbers("r = 1, s = 0", "CVE-2022-21449", one, zero),
	numbers("r = order, s = order", "CVE-2022-21449", order, order), numbers("r = order, s = 1", "CVE-2022-21449", order, one), numbers("r = 1, s = order", "CVE-2022-21449", one, order),
	numbers("r = 0, s = order", "CVE-2022-21449", zero, order), numbers("r = s = 1", "RFC 8725 §3.3", one, one), numbers("r = p, s = 1", "RFC 8725 §3.4", prime, one),
	numbers("r = order + 1", "RFC 8725 §3.3", new(big.Int).Add(order, one), one), numbers("r = order - 1", "RFC 8725 §3.3", new(big.Int).Sub(order, one), one), numbers("s = order - 1", "RFC 8725 §3.3", one, new(big.Int).Sub(order, one)),
	numbers("generator", "RFC 8725 §3.3", elliptic.P256().Params().Gx, one),
	{"ecdsa", "DER", "RFC 7518 §3.4", bad, hashed(sha256Of, der), onES},
	{"ecdsa", "DER of r = s = 0", "CVE-2022-21449", bad, fixed(der(zero, zero)), onES},
	{"ecdsa", "DER filled up to the length", "RFC 7518 §3.4", bad, fixed(append(der(one, one), make([]byte, 56)...)), onES},
	{"ecdsa", "in hexadecimal", "RFC 7518 §3.4", bad, signature(func(_ string, s []byte) []byte { return []byte(new(big.Int).SetBytes(s).Text(16)) }), onES},
	{"ecdsa", "r and s exchanged", "RFC 7518 §3.4", bad, hashed(sha256Of, func(r, s *big.Int) []byte { return pair(s, r) }), onES},
	{"ecdsa", "little end first", "RFC 7518 §3.4", bad, signature(func(_ string, s []byte) []byte { slices.Reverse(s[:32]); slices.Reverse(s[32:]); return s }), onES},
	{"ecdsa", "of the length of P-384", "RFC 7518 §3.4", bad, hashed(sha256Of, func(r, s *big.Int) []byte {
		out := make([]byte, 96)
		r.FillBytes(out[:48])
		s.FillBytes(out[48:])
		return out
	}), onES},
	{"ecdsa", "with the point's parity", "RFC 7518 §3.4", bad, signature(func(_ string, s []byte) []byte { return append([]byte{27}, s...) }), onES},
	{"ecdsa", "of r alone", "RFC 7518 §3.4", bad, signature(func(_ string, s []byte) []byte { return s[:32] }), onES},
	{"ecdsa", "-r", "RFC 7518 §3.4", bad, hashed(sha256Of, func(r, s *big.Int) []byte { return pair(new(big.Int).Sub(order, r), s) }), onES},
	{"ecdsa", "with SHA-384", "RFC 7518 §3.4", bad, hashed(func(input string) []byte { h := sha512.Sum384([]byte(input)); return h[:] }, pair), onES},
	{"ecdsa", "with SHA-512", "RFC 7518 §3.4", bad, hashed(func(input string) []byte { h := sha512.Sum512([]byte(input)); return h[:] }, pair), onES},
	{"ecdsa", "with SHA-256 twice", "RFC 7518 §3.4", bad, hashed(func(input string) []byte { return sha256Of(string(sha256Of(input))) }, pair), onES},
	{"ecdsa", "over no hash", "RFC 7518 §3.4", bad, hashed(func(input string) []byte { return []byte(input)[:32] }, pair), onES},
}

// addOrder adds the group's order to S: the same equation holds, and RFC 8032, section 5.1.7 refuses it.
func addOrder(s []byte) []byte {
	group, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	little := slices.Clone(s[32:])
	slices.Reverse(little)
	sum := new(big.Int).Add(new(big.Int).SetBytes(little), group).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return append(slices.Clone(s[:32]), sum...)
}

// point is a signature with this R and S = 0.
func point(first, middle, last byte) func(*forged) {
	out := make([]byte, 64)
	for i := range 32 {
		out[i] = middle
	}
	out[0], out[31] = first, last
	return fixed(out)
}

func edSigned(options *ed25519.Options, digest func(string) []byte) func(*forged) {
	return func(f *forged) {
		f.signature = func(input string, _ []byte) []byte {
			return must(f.key.signer.Sign(rand.Reader, digest(input), options))
		}
	}
}

func sha512Of(input string) []byte { h := sha512.Sum512([]byte(input)); return h[:] }
func itself(input string) []byte   { return []byte(input) }

// edwardsAttacks are for EdDSA.
var edwardsAttacks = []attack{
	{"eddsa", "S + order", "RFC 8032 §5.1.7", bad, signature(func(_ string, s []byte) []byte { return addOrder(s) }), onEd},
	{"eddsa", "S + twice the order", "RFC 8032 §5.1.7", bad, signature(func(_ string, s []byte) []byte { return addOrder(addOrder(s)) }), onEd},
	{"eddsa", "S with its top bit", "RFC 8032 §5.1.7", bad, signature(func(_ string, s []byte) []byte { s[63] |= 0x80; return s }), onEd},
	{"eddsa", "S with its third bit", "RFC 8032 §5.1.7", bad, signature(func(_ string, s []byte) []byte { s[63] |= 0x20; return s }), onEd},
	{"eddsa", "S = 0", "RFC 8032 §5.1.7", bad, signature(func(_ string, s []byte) []byte { clear(s[32:]); return s }), onEd},
	{"eddsa", "R of order one", "RFC 8725 §3.4", bad, point(1, 0, 0), onEd},
	{"eddsa", "R of order one, its sign set", "RFC 8032 §5.1.3", bad, point(1, 0, 0x80), onEd},
	{"eddsa", "R of order two", "RFC 8725 §3.4", bad, point(0xec, 0xff, 0x7f), onEd},
	{"eddsa", "R of order four", "RFC 8725 §3.4", bad, point(0, 0, 0), onEd},
	{"eddsa", "R not canonical: p", "RFC 8032 §5.1.3", bad, point(0xed, 0xff, 0x7f), onEd},
	{"eddsa", "R not canonical: p + 1", "RFC 8032 §5.1.3", bad, point(0xee, 0xff, 0x7f), onEd},
	{"eddsa", "R not on the curve", "RFC 8032 §5.1.3", bad, point(2, 0, 0), onEd},
	{"eddsa", "R with its sign turned", "RFC 8032 §5.1.3", bad, signature(func(_ string, s []byte) []byte { s[31] ^= 0x80; return s }), onEd},
	{"eddsa", "S and R exchanged", "RFC 8032 §5.1.6", bad, signature(func(_ string, s []byte) []byte { return append(slices.Clone(s[32:]), s[:32]...) }), onEd},
	{"eddsa", "Ed25519ph", "RFC 8037 §3.1", bad, edSigned(&ed25519.Options{Hash: crypto.SHA512}, sha512Of), onEd},
	{"eddsa", "Ed25519ctx", "RFC 8037 §3.1", bad, edSigned(&ed25519.Options{Context: "JWS"}, itself), onEd},
	{"eddsa", "of the SHA-512", "RFC 8037 §3.1", bad, edSigned(&ed25519.Options{}, sha512Of), onEd},
	{"eddsa", "of the length of Ed448", "RFC 8037 §3.1", bad, signature(func(_ string, s []byte) []byte { return append(s, make([]byte, 50)...) }), onEd},
	{"eddsa", "the public key as R", "RFC 8725 §3.4", bad, func(f *forged) {
		fixed(append(slices.Clone(f.key.signer.Public().(ed25519.PublicKey)), make([]byte, 32)...))(f)
	}, onEd},
}
