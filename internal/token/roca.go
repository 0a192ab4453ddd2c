package token

import "math/big"

// rocaPrimes are the small primes by which the fingerprint is taken: those that divide the M of every key length, less 2.
var rocaPrimes = [...]uint64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// rocaResidues are, for each of the primes, what the powers of 65537 leave over.
var rocaResidues = func() (all [len(rocaPrimes)]map[uint64]bool) {
	for i, prime := range rocaPrimes {
		all[i] = map[uint64]bool{}
		for power := uint64(1); !all[i][power]; power = power * rsaExponent % prime {
			all[i][power] = true
		}
	}
	return all
}()

// rocaShaped tells whether a modulus was made by the library of CVE-2017-15361 ("ROCA"; Nemec, Sys, Svenda, Klinec, Matyas: The
// Return of Coppersmith's Attack, CCS 2017). That library makes primes of the shape
//
//	p = k·M + (65537^a mod M)
//
// with M the product of the first 39 to 225 primes, which leaves so little to guess that keys of 2048 bits can be factored.
// Modulo each small prime r of M both primes are powers of 65537, and so is their product: the rest of N modulo r lies in the
// subgroup that 65537 generates. Modulo many r that subgroup is small (modulo 11 it is {1, 10}), so an ordinary modulus passes all
// of them once in 2^27 times.
func rocaShaped(n *big.Int) bool {
	rest, small := new(big.Int), new(big.Int)
	for i, prime := range rocaPrimes {
		if !rocaResidues[i][rest.Mod(n, small.SetUint64(prime)).Uint64()] {
			return false
		}
	}
	return true
}
