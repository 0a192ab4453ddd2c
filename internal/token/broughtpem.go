package token

import (
	"bytes"
	encodingasn1 "encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const pemBegin = "-----BEGIN "

// The object identifiers of keys and of the one curve (RFC 3279, RFC 5480, RFC 8410).
var (
	oidRSA     = encodingasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAPSS  = encodingasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidEC      = encodingasn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256    = encodingasn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidEd25519 = encodingasn1.ObjectIdentifier{1, 3, 101, 112}
)

var (
	errDER   = errors.New("the PEM block does not hold what its first line says: the file is damaged")
	errCurve = errors.New("the EC key is not on the curve P-256: make one with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
	errKind  = errors.New("it is no kind of key that signs tokens here: bring RSA, EC on P-256, or Ed25519")
)

// notPrivate says of each label that people mistake for a private key what to do.
var notPrivate = map[string]string{
	"ENCRYPTED PRIVATE KEY": "the private key is encrypted, and there is nobody to type a passphrase: decrypt it with openssl pkey -in key.pem -out plain.pem; the Secret is what protects it",
	"CERTIFICATE":           "it is a certificate, not a private key",
	"CERTIFICATE REQUEST":   "it is a certificate request, not a private key",
	"PUBLIC KEY":            "it is a public key: bring the private key",
	"RSA PUBLIC KEY":        "it is a public key: bring the private key",
	"OPENSSH PRIVATE KEY":   "it is in the form of OpenSSH: convert it with ssh-keygen -p -m PKCS8 -N '' -f key",
	"EC PARAMETERS":         "it holds the parameters of a curve, not a key",
	"DSA PRIVATE KEY":       "it is a DSA key: bring RSA, EC on P-256, or Ed25519",
}

// broughtPEM reads exactly one PEM block (RFC 7468) that is the whole text.
func broughtPEM(text []byte) (*Brought, error) {
	if n := bytes.Count(text, []byte(pemBegin)); n > 1 {
		return nil, fmt.Errorf("it holds %d PEM blocks: one private key is one entry, without its certificate (and openssl ecparam without -noout writes two)", n)
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("the PEM block is damaged: it has no end, or is not base64")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("there is something after the PEM block: leave nothing but the block")
	case block.Headers["DEK-Info"] != "" || block.Headers["Proc-Type"] != "":
		return nil, errors.New(notPrivate["ENCRYPTED PRIVATE KEY"])
	case len(block.Headers) > 0:
		return nil, errors.New("the PEM block has headers: leave nothing but the key")
	}
	if why, known := notPrivate[block.Type]; known {
		return nil, errors.New(why)
	}
	der := cryptobyte.String(block.Bytes)
	switch block.Type {
	case "PRIVATE KEY":
		return pkcs8(der)
	case "RSA PRIVATE KEY":
		return pkcs1(der)
	case "EC PRIVATE KEY":
		return sec1(der, nil)
	}
	return nil, errors.New("the PEM block is no private key: its first line must say PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")
}

// pkcs8 reads PrivateKeyInfo (RFC 5208) and OneAsymmetricKey (RFC 5958).
func pkcs8(der cryptobyte.String) (*Brought, error) {
	var info, algorithm, key, public cryptobyte.String
	var version int
	var kind encodingasn1.ObjectIdentifier
	var hasPublic bool
	if !der.ReadASN1(&info, asn1.SEQUENCE) || !der.Empty() || !info.ReadASN1Integer(&version) || version < 0 || version > 1 ||
		!info.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&kind) || !info.ReadASN1(&key, asn1.OCTET_STRING) ||
		!info.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) ||
		!info.ReadOptionalASN1(&public, &hasPublic, asn1.Tag(1).ContextSpecific()) || !info.Empty() {
		return nil, errDER
	}
	if hasPublic && (!kind.Equal(oidEd25519) || len(public) == 0 || public[0] != 0 || !public.Skip(1)) {
		return nil, errDER // a BIT STRING begins with the count of its unused bits; the other kinds have their public half inside
	}
	switch {
	case kind.Equal(oidRSA):
		return pkcs1(key)
	case kind.Equal(oidRSAPSS):
		return nil, errors.New("the RSA key is restricted to PSS: make one with openssl genpkey -algorithm RSA; algorithm PS256 takes it")
	case kind.Equal(oidEC):
		var curve encodingasn1.ObjectIdentifier
		if !algorithm.ReadASN1ObjectIdentifier(&curve) || !algorithm.Empty() {
			return nil, errCurve
		}
		return sec1(key, curve)
	case kind.Equal(oidEd25519):
		var seed cryptobyte.String
		if !key.ReadASN1(&seed, asn1.OCTET_STRING) || !key.Empty() || !algorithm.Empty() {
			return nil, errDER
		}
		return broughtEd25519(seed, public, "")
	}
	return nil, errKind
}

// pkcs1 reads RSAPrivateKey (RFC 8017, appendix A.1.2).
func pkcs1(der cryptobyte.String) (*Brought, error) {
	var numbers cryptobyte.String
	var version int
	if !der.ReadASN1(&numbers, asn1.SEQUENCE) || !der.Empty() || !numbers.ReadASN1Integer(&version) {
		return nil, errDER
	}
	var all [8]*big.Int
	for i := range all {
		all[i] = new(big.Int)
		if !numbers.ReadASN1Integer(all[i]) || all[i].Sign() <= 0 {
			return nil, errDER
		}
	}
	if version == 1 {
		return nil, errors.New("the RSA key has more than two primes: make one with two")
	}
	if version != 0 || !numbers.Empty() {
		return nil, errDER
	}
	return broughtRSA(&rsaNumbers{all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7]}, "", RS256, PS256)
}

// sec1 reads ECPrivateKey (RFC 5915). The curve is in it, or around it, or in both places and then the same.
func sec1(der cryptobyte.String, around encodingasn1.ObjectIdentifier) (*Brought, error) {
	var key, scalar, parameters, point cryptobyte.String
	var version int
	var hasCurve, hasPoint bool
	if !der.ReadASN1(&key, asn1.SEQUENCE) || !der.Empty() || !key.ReadASN1Integer(&version) || version != 1 || !key.ReadASN1(&scalar, asn1.OCTET_STRING) ||
		!key.ReadOptionalASN1(&parameters, &hasCurve, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!key.ReadOptionalASN1(&point, &hasPoint, asn1.Tag(1).ContextSpecific().Constructed()) || !key.Empty() {
		return nil, errDER
	}
	curve := around
	if hasCurve {
		var within encodingasn1.ObjectIdentifier
		if !parameters.ReadASN1ObjectIdentifier(&within) || !parameters.Empty() {
			return nil, errCurve
		}
		if curve != nil && !curve.Equal(within) {
			return nil, errCurve
		}
		curve = within
	}
	if !curve.Equal(oidP256) {
		return nil, errCurve
	}
	var public []byte
	if hasPoint && (!point.ReadASN1BitStringAsBytes(&public) || !point.Empty() || len(public) == 0) {
		return nil, errDER
	}
	return broughtEC(scalar, public, "")
}
