package token

import (
	"errors"
	"fmt"
	"math/big"
)

// rsaNumbers are the numbers of an RSA private key (RFC 8017, section 3.2), as a file says them: nothing is known of them.
type rsaNumbers struct{ n, e, d, p, q, dp, dq, qi *big.Int }

func rsaOfJWK(numbers map[string][]byte) *rsaNumbers {
	number := func(name string) *big.Int { return new(big.Int).SetBytes(numbers[name]) }
	return &rsaNumbers{number("n"), number("e"), number("d"), number("p"), number("q"), number("dp"), number("dq"), number("qi")}
}

func (r *rsaNumbers) primes() []*big.Int { return []*big.Int{r.p, r.q} }

// primeRounds are those of Miller and Rabin, beside a Baillie-PSW test: a number that passes is no prime with a probability below
// 2^-40, and nobody knows how to make one that fools both.
const primeRounds = 20

var one = big.NewInt(1)

// checkStrength refuses an RSA key that is wrong or weak, the cheap questions first: the size bounds what the others cost.
//
//   - a modulus below 2048 bits, or above 4096, which would slow the edge down;
//   - an exponent other than 65537: with a small one, padding errors of verifiers turn into forgeries, with 1 there is no
//     signature at all, an even one has no inverse, and many verifiers hold no more than 31 bits;
//   - numbers that do not belong together, a factor that is no prime, factors of different lengths;
//   - factors so close that Fermat finds them (|p-q|, FIPS 186-5, appendix A.1.3), a private exponent so small that Wiener and
//     Boneh-Durfee do (at most half as long as the modulus);
//   - a modulus with the fingerprint of CVE-2017-15361, see [rocaShaped].
func (r *rsaNumbers) checkStrength() error {
	bits := r.n.BitLen()
	switch {
	case bits < MinRSABits:
		return fmt.Errorf("the RSA modulus has %d bits, which is too weak: make one of %d to %d", bits, MinRSABits, MaxRSABits)
	case bits > MaxRSABits:
		return fmt.Errorf("the RSA modulus has %d bits, which is too slow to verify: make one of %d to %d", bits, MinRSABits, MaxRSABits)
	}
	if err := r.checkExponent(); err != nil {
		return err
	}
	if err := r.checkFactors(bits); err != nil {
		return err
	}
	if err := r.checkPrivate(bits); err != nil {
		return err
	}
	if rocaShaped(r.n) {
		return errors.New("the RSA modulus has the fingerprint of CVE-2017-15361 (ROCA): the chip or library that made it makes keys that can be factored; make another key elsewhere, such as with openssl")
	}
	return nil
}

func (r *rsaNumbers) checkExponent() error {
	switch {
	case r.e.BitLen() > 31:
		return errors.New("the RSA exponent does not fit into 31 bits, which many verifiers need: make a key with 65537")
	case r.e.Bit(0) == 0:
		return errors.New("the RSA exponent is even, so it is none: make a key with 65537")
	case r.e.Int64() < rsaExponent:
		return fmt.Errorf("the RSA exponent %d is too small to be safe: make a key with 65537", r.e.Int64())
	case r.e.Int64() != rsaExponent:
		return errors.New("the RSA exponent is not 65537, the one that every verifier takes: make a key with it")
	}
	return nil
}

func (r *rsaNumbers) checkFactors(bits int) error {
	apart := r.p.BitLen() - r.q.BitLen()
	switch {
	case new(big.Int).Mul(r.p, r.q).Cmp(r.n) != 0:
		return errors.New("the RSA modulus is not the product of its two primes: the file is damaged or forged")
	case apart > 1 || apart < -1:
		return errors.New("one prime of the RSA key is shorter than the other, so it is easier to find: make another key")
	case r.p.Cmp(r.q) == 0:
		return errors.New("the two primes of the RSA key are the same: make another key")
	}
	if distance := new(big.Int).Sub(r.p, r.q); distance.BitLen() <= bits/2-100 {
		return errors.New("the two primes of the RSA key are so close that they can be found (Fermat): make another key")
	}
	for i, prime := range r.primes() {
		if !prime.ProbablyPrime(primeRounds) {
			return fmt.Errorf("the number %c of the RSA key is no prime: the key is forged, or its generator is broken; make another key", "pq"[i])
		}
	}
	return nil
}

// checkPrivate compares the private exponent, and what was computed of it in advance, with the primes.
func (r *rsaNumbers) checkPrivate(bits int) error {
	if r.d.BitLen() <= bits/2 || r.d.Cmp(r.n) >= 0 {
		return errors.New("the private exponent of the RSA key is out of range, or so small that it can be found: make another key")
	}
	for _, c := range []struct {
		prime, part *big.Int
		name        string
	}{{r.p, r.dp, "dp"}, {r.q, r.dq, "dq"}} {
		order := new(big.Int).Sub(c.prime, one)
		rest := new(big.Int).Mod(r.d, order)
		if product := new(big.Int).Mul(rest, r.e); product.Mod(product, order).Cmp(one) != 0 {
			return errors.New("the private exponent of the RSA key does not belong to the public one: the file is damaged or forged")
		}
		if rest.Cmp(c.part) != 0 {
			return fmt.Errorf("the number %s of the RSA key does not belong to its primes: the file is damaged or forged", c.name)
		}
	}
	if inverse := new(big.Int).ModInverse(r.q, r.p); inverse == nil || inverse.Cmp(r.qi) != 0 {
		return errors.New("the number qi of the RSA key does not belong to its primes: the file is damaged or forged")
	}
	return nil
}
