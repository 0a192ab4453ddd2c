package tokentest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // to be refused
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
	"slices"
)

// The DigestInfo of SHA-256 (RFC 8017, section 9.2), and the one without the parameters that some verifiers take too.
var (
	digestInfo       = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	digestInfoNoNull = []byte{0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20}
	digestInfoSHA1   = []byte{0x30, 0x2d, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x20}
)

func (f *forged) rsa() *rsa.PrivateKey { return f.key.signer.(*rsa.PrivateKey) }

// number is a signature of one chosen number, which anybody can write.
func number(choose func(*rsa.PublicKey) *big.Int) func(*forged) {
	return func(f *forged) {
		f.signature = func(string, []byte) []byte {
			public := &f.rsa().PublicKey
			return choose(public).FillBytes(make([]byte, public.Size()))
		}
	}
}

// block signs an encoded message of our own making: what a forger gets where the padding is not checked in full.
func block(build func(size int, digest []byte) []byte) func(*forged) {
	return func(f *forged) {
		f.signature = func(input string, _ []byte) []byte {
			key := f.rsa()
			digest := sha256.Sum256([]byte(input))
			message := new(big.Int).SetBytes(build(key.Size(), digest[:]))
			return message.Exp(message, key.D, key.N).FillBytes(make([]byte, key.Size()))
		}
	}
}

// padded is 00, kind, a filling, 00 and the rest of an encoded message.
func padded(size int, kind, filling byte, rest ...[]byte) []byte {
	tail := bytes.Join(rest, nil)
	return slices.Concat([]byte{0, kind}, bytes.Repeat([]byte{filling}, size-3-len(tail)), []byte{0}, tail)
}

func pkcs(h crypto.Hash, digest func(string) []byte) func(*forged) {
	return func(f *forged) {
		f.signature = func(input string, _ []byte) []byte { return must(rsa.SignPKCS1v15(nil, f.rsa(), h, digest(input))) }
	}
}

func pss(h crypto.Hash, digest func(string) []byte, salt int) func(*forged) {
	return func(f *forged) {
		f.signature = func(input string, _ []byte) []byte {
			return must(rsa.SignPSS(rand.Reader, f.rsa(), h, digest(input), &rsa.PSSOptions{SaltLength: salt}))
		}
	}
}

// salted is the PSS encoding by hand (RFC 8017, section 9.1.1), which the standard library does not make without salt.
func salted(salt []byte) func(size int, digest []byte) []byte {
	return func(size int, digest []byte) []byte {
		h := sha256.Sum256(slices.Concat(make([]byte, 8), digest, salt))
		db := make([]byte, size-len(h)-1)
		db[len(db)-len(salt)-1] = 1
		copy(db[len(db)-len(salt):], salt)
		for i, n := 0, 0; n < len(db); i++ {
			mask := sha256.Sum256(append(slices.Clone(h[:]), 0, 0, 0, byte(i)))
			for j := 0; j < len(mask) && n < len(db); j++ {
				db[n] ^= mask[j]
				n++
			}
		}
		db[0] &= 0x7f
		return slices.Concat(db, h[:], []byte{0xbc})
	}
}

func sha384Of(input string) []byte { h := sha512.Sum384([]byte(input)); return h[:] }
func sha1Of(input string) []byte   { h := sha1.Sum([]byte(input)); return h[:] } //nolint:gosec // to be refused

// rsaAttacks are for both schemes of RSA.
var rsaAttacks = []attack{
	{"rsa", "zero", "RFC 8017 §8.2.2", bad, number(func(*rsa.PublicKey) *big.Int { return new(big.Int) }), onRSA},
	{"rsa", "one", "RFC 8017 §8.2.2", bad, number(func(*rsa.PublicKey) *big.Int { return big.NewInt(1) }), onRSA},
	{"rsa", "the modulus", "RFC 8017 §5.2.2", bad, number(func(k *rsa.PublicKey) *big.Int { return k.N }), onRSA},
	{"rsa", "the modulus less one", "RFC 8017 §5.2.2", bad, number(func(k *rsa.PublicKey) *big.Int { return new(big.Int).Sub(k.N, one) }), onRSA},
	{"rsa", "the modulus and one", "RFC 8017 §5.2.2", bad, number(func(k *rsa.PublicKey) *big.Int { return new(big.Int).Add(k.N, one) }), onRSA},
	{"rsa", "negated", "RFC 8017 §8.2.2", bad, func(f *forged) {
		f.signature = func(_ string, s []byte) []byte {
			return new(big.Int).Sub(f.rsa().N, new(big.Int).SetBytes(s)).FillBytes(make([]byte, len(s)))
		}
	}, onRSA},
	{"rsa", "plus the modulus", "RFC 8017 §5.2.2", bad, func(f *forged) {
		f.signature = func(_ string, s []byte) []byte { // one byte longer where it does not fit
			return new(big.Int).Add(f.rsa().N, new(big.Int).SetBytes(s)).Bytes()
		}
	}, onRSA},
	{"rsa", "PSS under RS256", "RFC 8725 §3.1", bad, pss(crypto.SHA256, sha256Of, 32), onRS},
	{"rsa", "SHA-1", "RFC 7518 §3.3", bad, pkcs(crypto.SHA1, sha1Of), onRS},
	{"rsa", "SHA-384", "RFC 7518 §3.3", bad, pkcs(crypto.SHA384, sha384Of), onRS},
	{"rsa", "SHA-512", "RFC 7518 §3.3", bad, pkcs(crypto.SHA512, sha512Of), onRS},
	{"rsa", "no DigestInfo", "RFC 8017 §9.2", bad, pkcs(0, sha256Of), onRS},
	{"rsa", "DigestInfo without parameters", "CVE-2014-1568", bad, block(func(n int, d []byte) []byte { return padded(n, 1, 0xff, digestInfoNoNull, d) }), onRS},
	{"rsa", "DigestInfo of SHA-1", "RFC 8017 §9.2", bad, block(func(n int, d []byte) []byte { return padded(n, 1, 0xff, digestInfoSHA1, d) }), onRS},
	{"rsa", "garbage behind the digest", "CVE-2006-4339", bad, block(func(n int, d []byte) []byte {
		short := slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xff}, 8), []byte{0}, digestInfo, d)
		return append(short, make([]byte, n-len(short))...)
	}), onRS},
	{"rsa", "one byte behind the digest", "CVE-2006-4339", bad, block(func(n int, d []byte) []byte { return padded(n, 1, 0xff, digestInfo, d, []byte{0}) }), onRS},
	{"rsa", "padding of zeros", "RFC 8017 §9.2", bad, block(func(n int, d []byte) []byte { return padded(n, 1, 0, digestInfo, d) }), onRS},
	{"rsa", "padding of type 2", "RFC 8017 §9.2", bad, block(func(n int, d []byte) []byte { return padded(n, 2, 0xff, digestInfo, d) }), onRS},
	{"rsa", "padding of type 0", "RFC 8017 §9.2", bad, block(func(n int, d []byte) []byte { return padded(n, 0, 0, digestInfo, d) }), onRS},
	{"rsa", "no padding", "RFC 8017 §9.2", bad, block(func(_ int, d []byte) []byte { return d }), onRSA},
	{"rsa", "one filling byte off", "CVE-2006-4339", bad, block(func(n int, d []byte) []byte {
		out := padded(n, 1, 0xff, digestInfo, d)
		out[9] = 0xfe
		return out
	}), onRS},
	{"rsa", "PKCS #1 under PS256", "RFC 8725 §3.1", bad, pkcs(crypto.SHA256, sha256Of), onPS},
	{"rsa", "PSS without salt", "RFC 7518 §3.5", bad, block(salted(nil)), onPS},
	{"rsa", "PSS with another trailer", "RFC 8017 §9.1.2", bad, block(func(n int, d []byte) []byte { return append(salted(make([]byte, 32))(n, d)[:n-1], 0xcc) }), onPS},
	{"rsa", "PSS with a salt of one byte", "RFC 7518 §3.5", bad, pss(crypto.SHA256, sha256Of, 1), onPS},
	{"rsa", "PSS with a salt of 20 bytes", "RFC 7518 §3.5", bad, pss(crypto.SHA256, sha256Of, 20), onPS},
	{"rsa", "PSS with a salt of 33 bytes", "RFC 7518 §3.5", bad, pss(crypto.SHA256, sha256Of, 33), onPS},
	{"rsa", "PSS with the longest salt", "RFC 7518 §3.5", bad, pss(crypto.SHA256, sha256Of, 222), onPS},
	{"rsa", "PSS with SHA-384", "RFC 7518 §3.5", bad, pss(crypto.SHA384, sha384Of, 48), onPS},
	{"rsa", "PSS with SHA-512", "RFC 7518 §3.5", bad, pss(crypto.SHA512, sha512Of, 64), onPS},
	{"rsa", "PSS with SHA-512 and a salt of 32 bytes", "RFC 7518 §3.5", bad, pss(crypto.SHA512, sha512Of, 32), onPS},
	{"rsa", "PSS with SHA-1", "RFC 7518 §3.5", bad, pss(crypto.SHA1, sha1Of, 20), onPS},
}
