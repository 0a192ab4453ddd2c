package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
)

// owners are the keys that somebody brings, made once by the standard library.
var owners = sync.OnceValue(func() (o struct {
	rsa, odd *rsa.PrivateKey
	ec       *ecdsa.PrivateKey
	ed       ed25519.PrivateKey
},
) {
	var err [4]error
	o.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	o.odd, err[1] = rsa.GenerateKey(rand.Reader, 3001)
	o.ec, err[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, o.ed, err[3] = ed25519.GenerateKey(rand.Reader)
	for _, e := range err {
		if e != nil {
			panic(e)
		}
	}
	return o
})

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pkcs8Of(key any) []byte { return must(x509.MarshalPKCS8PrivateKey(key)) }

// numbersOf are those of a key; edit makes another key of them.
func numbersOf(k *rsa.PrivateKey, edit ...func(*rsaNumbers)) *rsaNumbers {
	n := &rsaNumbers{k.N, big.NewInt(int64(k.E)), k.D, k.Primes[0], k.Primes[1], k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv}
	for _, e := range edit {
		e(n)
	}
	return n
}

// ofPrimes makes a key of two numbers that are or are not primes: everything else fits them.
func ofPrimes(p, q *big.Int) *rsaNumbers {
	n := &rsaNumbers{n: new(big.Int).Mul(p, q), e: big.NewInt(rsaExponent), p: p, q: q}
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	phi := new(big.Int).Mul(p1, q1)
	if n.d = new(big.Int).ModInverse(n.e, phi); n.d == nil {
		return nil // try others
	}
	n.dp, n.dq, n.qi = new(big.Int).Mod(n.d, p1), new(big.Int).Mod(n.d, q1), new(big.Int).ModInverse(q, p)
	return n
}

func (r *rsaNumbers) der(version int, more ...any) []byte {
	all := []any{version, r.n, r.e, r.d, r.p, r.q, r.dp, r.dq, r.qi}
	var body []byte
	for _, v := range append(all, more...) {
		body = append(body, must(asn1.Marshal(v))...)
	}
	return must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}))
}

func (r *rsaNumbers) jwk() map[string]any {
	text := func(n *big.Int) string { return encoding.EncodeToString(n.Bytes()) }
	return map[string]any{"kty": "RSA", "n": text(r.n), "e": text(r.e), "d": text(r.d), "p": text(r.p), "q": text(r.q), "dp": text(r.dp), "dq": text(r.dq), "qi": text(r.qi)}
}

func ecJWK(k *ecdsa.PrivateKey) map[string]any {
	point := must(k.PublicKey.Bytes())
	return map[string]any{
		"kty": "EC", "crv": "P-256", "x": encoding.EncodeToString(point[1:33]), "y": encoding.EncodeToString(point[33:]),
		"d": encoding.EncodeToString(must(k.Bytes())),
	}
}

func edJWK(k ed25519.PrivateKey) map[string]any {
	return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encoding.EncodeToString(k[32:]), "d": encoding.EncodeToString(k.Seed())}
}

// with writes a JWK with some members set, or left out where the value is nil.
func with(jwk map[string]any, pairs ...any) string {
	jwk = maps.Clone(jwk)
	for i := 0; i < len(pairs); i += 2 {
		if jwk[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(jwk, pairs[i].(string))
		}
	}
	return string(must(json.Marshal(jwk)))
}

func TestBroughtKeysAreTaken(t *testing.T) {
	o := owners()
	anyRSA, plain := []Algorithm{RS256, PS256}, numbersOf(o.rsa)
	ed8 := pkcs8Of(o.ed)
	for _, c := range []struct {
		name, entry string
		want        []Algorithm
		bits        int
	}{
		{"PKCS#8 RSA", block("PRIVATE KEY", pkcs8Of(o.rsa)), anyRSA, 2048},
		{"PKCS#8 RSA of an odd size", block("PRIVATE KEY", pkcs8Of(o.odd)), anyRSA, 3001},
		{"PKCS#1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(o.rsa)), anyRSA, 2048},
		{"PKCS#1 with the primes the other way round", block("RSA PRIVATE KEY", ofPrimes(o.rsa.Primes[1], o.rsa.Primes[0]).der(0)), anyRSA, 2048},
		{"PKCS#8 EC", block("PRIVATE KEY", pkcs8Of(o.ec)), []Algorithm{ES256}, 0},
		{"SEC1", block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(o.ec))), []Algorithm{ES256}, 0},
		{"SEC1 with a compressed point", block("EC PRIVATE KEY", sec1Of(o.ec, oidP256, elliptic.MarshalCompressed(elliptic.P256(), o.ec.X, o.ec.Y))), []Algorithm{ES256}, 0}, //nolint:staticcheck // as old tools write it
		{"SEC1 without a point", block("EC PRIVATE KEY", sec1Of(o.ec, oidP256, nil)), []Algorithm{ES256}, 0},
		{"PKCS#8 Ed25519", block("PRIVATE KEY", ed8), []Algorithm{EdDSA}, 0},
		{"PKCS#8 Ed25519 with its public half", block("PRIVATE KEY", withPublic(ed8, o.ed[32:])), []Algorithm{EdDSA}, 0},
		{"white space around", "\n\t " + block("PRIVATE KEY", ed8) + "\r\n\r\n", []Algorithm{EdDSA}, 0},
		{"Windows line ends", strings.ReplaceAll(block("PRIVATE KEY", ed8), "\n", "\r\n"), []Algorithm{EdDSA}, 0},
		{"RSA JWK", with(plain.jwk()), anyRSA, 2048},
		{"RSA JWK that says what it is for", with(plain.jwk(), "use", "sig", "alg", "PS256", "kid", "x", "key_ops", []string{"sign", "verify"}, "ext", true), []Algorithm{PS256}, 2048},
		{"EC JWK", " " + with(ecJWK(o.ec), "alg", "ES256") + "\n", []Algorithm{ES256}, 0},
		{"Ed25519 JWK", with(edJWK(o.ed), "key_ops", []string{"sign"}), []Algorithm{EdDSA}, 0},
		{"a JWK of our own", string(keys()[RS256].JWK().Reveal()), []Algorithm{RS256}, 2048},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := ParseBrought([]byte(c.entry))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(b.Algorithms(), c.want) || b.Bits() != c.bits {
				t.Errorf("good for %v, %d bits", b.Algorithms(), b.Bits())
			}
			for _, a := range Algorithms {
				k, ok := b.Key(a)
				if ok != slices.Contains(c.want, a) {
					t.Errorf("as %s: %t", a, ok)
				}
				if ok {
					signs(t, k, b.KID())
				}
			}
		})
	}
	if b := must(ParseBrought([]byte(with(plain.jwk(), "kid", "mine")))); b.Named() != "mine" || b.KID() == "mine" {
		t.Errorf("named %q, kid %q", b.Named(), b.KID())
	}
}

// signs checks that a key is as good as one that was made here.
func signs(t *testing.T, k *PrivateKey, kid string) {
	t.Helper()
	again, err := ParsePrivate(k.JWK().Reveal())
	if err != nil || again.KID() != kid {
		t.Fatalf("it is not stored as it is: %v", err)
	}
	signature, err := sign(k.Algorithm(), again.signer, []byte("input"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublic(k.Public().JWK())
	if err != nil {
		t.Fatal(err)
	}
	if err := verifySignature(k.Algorithm(), public.key, "input", signature); err != nil {
		t.Error(err)
	}
}

// sec1Of writes ECPrivateKey with a curve and a point of one's choice.
func sec1Of(k *ecdsa.PrivateKey, curve asn1.ObjectIdentifier, point []byte) []byte {
	key := struct {
		Version int
		Scalar  []byte
		Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		Point   asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}{1, must(k.Bytes()), curve, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}}
	return must(asn1.Marshal(key))
}

// withPublic turns PKCS#8 into the newer form of RFC 5958, which carries the public half as well.
func withPublic(der, public []byte) []byte {
	var info struct {
		Version   int
		Algorithm struct{ ID asn1.ObjectIdentifier }
		Key       []byte
	}
	must(asn1.Unmarshal(der, &info))
	return must(asn1.Marshal(struct {
		Version   int
		Algorithm struct{ ID asn1.ObjectIdentifier }
		Key       []byte
		Public    asn1.BitString `asn1:"tag:1"`
	}{1, info.Algorithm, info.Key, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}}))
}

func TestBroughtKeysPrintNothing(t *testing.T) {
	o := owners()
	for _, entry := range []string{with(numbersOf(o.rsa).jwk()), with(ecJWK(o.ec)), with(edJWK(o.ed))} {
		b := must(ParseBrought([]byte(entry)))
		var members map[string]string
		if err := json.Unmarshal([]byte(entry), &members); err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprintf("%v %+v %#v %s %q %v", b, b, b, b, b, []any{b})
		printed, _ := json.Marshal(b) //nolint:staticcheck // that there is nothing to see is what is asked
		for _, text := range []string{out, string(printed)} {
			if strings.Contains(text, members["d"]) || strings.Contains(text, fmt.Sprint(o.rsa.D)) || !strings.Contains(out, b.KID()) {
				t.Errorf("%s", text)
			}
		}
	}
}

// refusalsQuoteNothing: whatever is refused, the message has nothing of it.
func refusalsQuoteNothing(t *testing.T, entry []byte, err error) {
	t.Helper()
	message, advice := err.Error(), "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
	for size, i := 12, 0; i+size <= len(entry); i++ {
		part := entry[i : i+size]
		if bytes.ContainsAny(part, " -\n\"") || !bytes.ContainsAny(part, "0123456789+/_ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			continue // words that the message may use as well
		}
		if strings.Contains(advice, string(part)) {
			continue
		}
		if strings.Contains(message, string(part)) {
			t.Fatalf("the message %q quotes the key", message)
		}
	}
}

func twice(entry string) string { return base64.StdEncoding.EncodeToString([]byte(entry)) }
