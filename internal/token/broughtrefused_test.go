package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

type refusedEntry struct{ name, entry, want string }

func prime(bits int) *big.Int { return must(rand.Prime(rand.Reader, bits)) }

// nextPrime finds the prime behind a number.
func nextPrime(after *big.Int) *big.Int {
	p := new(big.Int).Add(after, big.NewInt(2))
	for !p.ProbablyPrime(10) {
		p.Add(p, big.NewInt(2))
	}
	return p
}

// unlike tries factors until they have an inverse of 65537.
func unlike(make func() (p, q *big.Int)) *rsaNumbers {
	for {
		if n := ofPrimes(make()); n != nil && n.qi != nil {
			return n
		}
	}
}

// composite makes a product of two primes with both of its highest bits set, as
// a prime has them: with another such number it makes a modulus of 2048 bits,
// never one of 2047.
func composite() *big.Int {
	for {
		if c := new(big.Int).Mul(prime(512), prime(512)); c.Bit(1023) == 1 && c.Bit(1022) == 1 {
			return c
		}
	}
}

func inPKCS1(n *rsaNumbers) string { return block("RSA PRIVATE KEY", n.der(0)) }

func weakRSA() []refusedEntry {
	k := owners().rsa
	set := func(edit func(n *rsaNumbers)) string { return with(numbersOf(k, edit).jwk()) }
	exponent := func(e int64) func(*rsaNumbers) { return func(n *rsaNumbers) { n.e = big.NewInt(e) } }
	p := k.Primes[0]
	short, long := prime(1000), prime(1048)
	return []refusedEntry{
		{"1024 bits", inPKCS1(unlike(func() (*big.Int, *big.Int) { return prime(512), prime(512) })), "1024 bits, which is too weak"},
		{"2047 bits", set(func(n *rsaNumbers) { n.n = new(big.Int).Rsh(n.n, 1) }), "2047 bits, which is too weak"},
		{"4097 bits", set(func(n *rsaNumbers) { n.n = new(big.Int).Lsh(one, 4096) }), "4097 bits, which is too slow"},
		{"e = 1", set(exponent(1)), "exponent 1 is too small"},
		{"e = 3", set(exponent(3)), "exponent 3 is too small"},
		{"e = 65535", set(exponent(65535)), "exponent 65535 is too small"},
		{"e even", set(exponent(65538)), "exponent is even"},
		{"e = 0", inPKCS1(numbersOf(k, exponent(0))), "does not hold what its first line says"},
		{"e negative", inPKCS1(numbersOf(k, exponent(-65537))), "does not hold what its first line says"},
		{"e = 65539", set(exponent(65539)), "exponent is not 65537"},
		{"e = 2^31 + 1", set(exponent(1<<31 + 1)), "does not fit into 31 bits"},
		{"e of a thousand bits", set(func(n *rsaNumbers) { n.e = n.p }), "does not fit into 31 bits"},
		{"n is not p·q", set(func(n *rsaNumbers) { n.n = new(big.Int).Add(n.n, big.NewInt(2)) }), "not the product of its two primes"},
		{"p is composite", inPKCS1(unlike(func() (*big.Int, *big.Int) { return composite(), p })), "number p of the RSA key is no prime"},
		{"q is composite", inPKCS1(unlike(func() (*big.Int, *big.Int) { return p, composite() })), "number q of the RSA key is no prime"},
		{"p = 1, q = n", set(func(n *rsaNumbers) { n.p, n.q = one, n.n }), "shorter than the other"},
		{"a short prime and a long one", inPKCS1(unlike(func() (*big.Int, *big.Int) { return short, long })), "shorter than the other"},
		{"p = q", set(func(n *rsaNumbers) { n.q, n.n = n.p, new(big.Int).Mul(n.p, n.p) }), "two primes of the RSA key are the same"},
		{"p and q are neighbours", inPKCS1(ofPrimes(p, nextPrime(p))), "(Fermat)"},
		{"d tiny", set(func(n *rsaNumbers) { n.d = big.NewInt(65537) }), "private exponent of the RSA key is out of range"},
		{"d of another key", set(func(n *rsaNumbers) { n.d = new(big.Int).Sub(n.d, big.NewInt(2)) }), "does not belong to the public one"},
		{"d larger than n", set(func(n *rsaNumbers) { n.d = new(big.Int).Add(n.d, n.n) }), "private exponent of the RSA key is out of range"},
		{"dp of another key", set(func(n *rsaNumbers) { n.dp = one }), "number dp"},
		{"dq of another key", inPKCS1(numbersOf(k, func(n *rsaNumbers) { n.dq = n.dp })), "number dq"},
		{"qi of another key", set(func(n *rsaNumbers) { n.qi = n.dp }), "number qi"},
		{"ROCA", inPKCS1(rocaKey()), "CVE-2017-15361"},
		{"ROCA in a JWK", with(rocaKey().jwk()), "CVE-2017-15361"},
		{"three primes", block("RSA PRIVATE KEY", numbersOf(k).der(1, big.NewInt(5))), "more than two primes"},
		{"three primes in a JWK", with(numbersOf(k).jwk(), "oth", []any{}), "more than two primes"},
		{"a version to come", block("RSA PRIVATE KEY", numbersOf(k).der(2)), "does not hold what its first line says"},
		{"a number too many", block("RSA PRIVATE KEY", numbersOf(k).der(0, 7)), "does not hold what its first line says"},
	}
}

func wrongPEM() []refusedEntry {
	o := owners()
	good := block("PRIVATE KEY", pkcs8Of(o.ec))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	public := must(x509.MarshalPKIXPublicKey(o.ec.Public()))
	template := &x509.Certificate{SerialNumber: one, Subject: pkix.Name{CommonName: "x"}}
	certificate := block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, o.ec.Public(), o.ec)))
	//nolint:staticcheck // people have such files
	oldEncrypted := must(x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(o.rsa), []byte("x"), x509.PEMCipherAES256))
	tiny := *o.ec
	tiny.D = big.NewInt(20260101) //nolint:staticcheck // what no generator makes
	null := asn1.RawValue{Tag: asn1.TagNull}
	info := func(oid asn1.ObjectIdentifier, parameters any, key []byte) string {
		algorithm := must(asn1.Marshal(oid))
		if parameters != nil {
			algorithm = append(algorithm, must(asn1.Marshal(parameters))...)
		}
		body := append(must(asn1.Marshal(0)), must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: algorithm}))...)
		body = append(body, must(asn1.Marshal(key))...)
		return block("PRIVATE KEY", must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body})))
	}
	return []refusedEntry{
		{"nothing", "", "it is empty"},
		{"white space", " \n ", "it is empty"},
		{"too long", strings.Repeat("x", MaxBroughtBytes+1), "at most 16384 are read"},
		{"a word", "hunter2", "neither a PEM block nor a JWK"},
		{"DER", string(pkcs8Of(o.ec)), "neither a PEM block nor a JWK"},
		{"encoded twice", twice(good), "encoded once too often"},
		{"a JWK encoded twice", twice(with(ecJWK(o.ec))), "encoded once too often"},
		{"text before", "Bag Attributes\n" + good, "something before the PEM block"},
		{"text after", good + "# mine\n", "something after the PEM block"},
		{"two keys", good + good, "2 PEM blocks"},
		{"a key and its certificate", good + certificate, "2 PEM blocks"},
		{"a damaged block before a good one", "-----BEGIN PRIVATE KEY-----\n!\n" + good, "2 PEM blocks"},
		{"cut off", good[:60], "no end"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte{1}), "is encrypted"},
		{"encrypted in the old way", string(pem.EncodeToMemory(oldEncrypted)), "is encrypted"},
		{"headers", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{"a": "b"}, Bytes: pkcs8Of(o.ec)})), "has headers"},
		{"a certificate", certificate, "it is a certificate"},
		{"a public key", block("PUBLIC KEY", public), "it is a public key"},
		{"an old public key", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&o.rsa.PublicKey)), "it is a public key"},
		{"OpenSSH", block("OPENSSH PRIVATE KEY", []byte{1}), "ssh-keygen"},
		{"curve parameters", block("EC PARAMETERS", []byte{1}), "parameters of a curve"},
		{"an unknown label", block("SECRET KEY", pkcs8Of(o.ec)), "its first line must say"},
		{"bytes after the key", block("PRIVATE KEY", append(pkcs8Of(o.ec), 0)), "does not hold what its first line says"},
		{"bytes after PKCS#1", block("RSA PRIVATE KEY", append(x509.MarshalPKCS1PrivateKey(o.rsa), 0)), "does not hold what its first line says"},
		{"bytes after SEC1", block("EC PRIVATE KEY", append(must(x509.MarshalECPrivateKey(o.ec)), 0)), "does not hold what its first line says"},
		{"SEC1 under the label of PKCS#1", block("RSA PRIVATE KEY", must(x509.MarshalECPrivateKey(o.ec))), "does not hold what its first line says"},
		{"PKCS#1 under the label of PKCS#8", block("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(o.rsa)), "does not hold what its first line says"},
		{"garbage", block("PRIVATE KEY", []byte("garbage")), "does not hold what its first line says"},
		{"P-384", block("PRIVATE KEY", pkcs8Of(p384)), "not on the curve P-256"},
		{"P-384 in SEC1", block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p384))), "not on the curve P-256"},
		{"no curve", block("EC PRIVATE KEY", sec1Of(o.ec, nil, nil)), "not on the curve P-256"},
		{"two curves", info(oidEC, oidP256, sec1Of(o.ec, asn1.ObjectIdentifier{1, 3, 132, 0, 34}, nil)), "not on the curve P-256"},
		{"a curve spelt out", info(oidEC, null, must(x509.MarshalECPrivateKey(o.ec))), "not on the curve P-256"},
		{"an empty point", block("EC PRIVATE KEY", append(sec1Of(o.ec, oidP256, nil)[:0], emptyPoint(o.ec)...)), "does not hold what its first line says"},
		{"another's point", block("EC PRIVATE KEY", sec1Of(o.ec, oidP256, must(other.PublicKey.Bytes()))), "public point does not belong"},
		{"a tiny scalar", block("EC PRIVATE KEY", sec1Of(&tiny, oidP256, nil)), "can be guessed"},
		{"Ed25519 with another's public half", block("PRIVATE KEY", withPublic(pkcs8Of(o.ed), make([]byte, 32))), "public half does not belong"},
		{"Ed25519 of zeros", info(oidEd25519, nil, append([]byte{4, 32}, make([]byte, 32)...)), "one byte, repeated"},
		{"Ed25519 with parameters", info(oidEd25519, null, append([]byte{4, 32}, o.ed.Seed()...)), "does not hold what its first line says"},
		{"Ed25519, short", info(oidEd25519, nil, append([]byte{4, 31}, o.ed.Seed()[:31]...)), "must have 32 bytes"},
		{"RSA for PSS only", info(oidRSAPSS, null, x509.MarshalPKCS1PrivateKey(o.rsa)), "restricted to PSS"},
		{"X25519", info(asn1.ObjectIdentifier{1, 3, 101, 110}, null, append([]byte{4, 32}, o.ed.Seed()...)), "no kind of key that signs"},
		{"a public half beside RSA", block("PRIVATE KEY", withPublic(pkcs8Of(o.rsa), []byte{1})), "does not hold what its first line says"},
	}
}

func emptyPoint(k *ecdsa.PrivateKey) []byte {
	body := append(must(asn1.Marshal(1)), must(asn1.Marshal(must(k.Bytes())))...)
	curve := must(asn1.Marshal(oidP256))
	body = append(body, must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: curve}))...)
	body = append(body, must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: []byte{3, 1, 0}}))...)
	return must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}))
}

func TestBroughtKeysAreRefused(t *testing.T) {
	for group, rows := range map[string][]refusedEntry{"RSA": weakRSA(), "PEM": wrongPEM(), "JWK": wrongJWK()} {
		for _, c := range rows {
			t.Run(group+"/"+c.name, func(t *testing.T) {
				b, err := ParseBrought([]byte(c.entry))
				if err == nil {
					t.Fatalf("it is taken: %s", b)
				}
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("it says %q, want %q", err, c.want)
				}
				refusalsQuoteNothing(t, []byte(c.entry), err)
			})
		}
	}
}

// rocaKey makes a key in the way of the library of CVE-2017-15361, with the M that it uses for 2048 bits: everything else is in order.
func rocaKey() *rsaNumbers {
	m := big.NewInt(1)
	for r, n := int64(2), 0; n < 126; r++ {
		if big.NewInt(r).ProbablyPrime(10) {
			m.Mul(m, big.NewInt(r))
			n++
		}
	}
	half := func() *big.Int {
		room := new(big.Int).Div(new(big.Int).Lsh(one, 1024), m) // k, so that the prime has 1024 bits
		least := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(3), 1022), m)
		for {
			k := must(rand.Int(rand.Reader, new(big.Int).Sub(room, least)))
			a := must(rand.Int(rand.Reader, m))
			p := new(big.Int).Mul(k.Add(k, least), m)
			p.Add(p, a.Exp(big.NewInt(rsaExponent), a, m))
			if p.BitLen() == 1024 && p.ProbablyPrime(10) {
				return p
			}
		}
	}
	return unlike(func() (*big.Int, *big.Int) { return half(), half() })
}

func TestROCA(t *testing.T) {
	weak := rocaKey()
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: weak.n, E: rsaExponent}, D: weak.d, Primes: weak.primes()}
	if err := key.Validate(); err != nil {
		t.Fatalf("but for its shape the test's key is not in order: %v", err)
	}
	if !rocaShaped(weak.n) {
		t.Error("a ROCA key is not recognized")
	}
	var some []*big.Int
	for range 21 {
		some = append(some, prime(1024))
	}
	// One of 2^27 has the shape by chance: one of these in 6,000 runs, two in 80 million.
	tried, taken := 0, 0
	for i := range some {
		for j := range i {
			if tried++; rocaShaped(new(big.Int).Mul(some[i], some[j])) {
				taken++
			}
		}
	}
	for range 20_000 {
		if n := must(rand.Int(rand.Reader, new(big.Int).Lsh(one, 2048))); rocaShaped(n) {
			taken++
		}
	}
	if taken > 1 {
		t.Errorf("%d ordinary moduli and random numbers are taken for those of ROCA", taken)
	}
	if tried < 200 {
		t.Fatalf("only %d moduli", tried)
	}
	t.Logf("%d moduli of real primes and 20,000 random numbers pass", tried)
}
