package rollout

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Buckets is how many there are: a hundredth of a percent each.
const Buckets = 10_000

// Bucket is the bucket of an authenticated user under a salt, 0 to Buckets-1, by the algorithm sha256-v1:
//
//	floor(uint64be(SHA-256(salt ‖ 0x00 ‖ user)[0:8]) · 10000 / 2^64)
//
// It never changes; docs/bucketing-vectors.json has values to test other implementations by.
func Bucket(salt, user string) int {
	hash := sha256.New()
	hash.Write([]byte(salt))
	hash.Write([]byte{0})
	hash.Write([]byte(user))
	bucket, _ := bits.Mul64(binary.BigEndian.Uint64(hash.Sum(nil)), Buckets)
	return int(bucket) //nolint:gosec // below Buckets
}

// Cohort is who gets JWTs. The zero value has nobody. It is immutable once made, and then safe for concurrent use.
type Cohort struct {
	// Salt keeps the cohorts of different rollouts apart. It never changes during one.
	Salt string
	// Percent is the share of the users, 0 to 100. Raising it only adds users, lowering it only takes some away.
	Percent int
	// Include and Exclude name users that are in or out whatever their bucket. Exclude wins.
	Include, Exclude map[string]bool
}

// Has tells whether an authenticated user is in the cohort. Nobody without a name is.
func (c Cohort) Has(user string) bool {
	switch {
	case user == "" || c.Exclude[user]:
		return false
	case c.Include[user] || c.Percent >= 100:
		return true
	case c.Percent <= 0:
		return false
	default:
		return Bucket(c.Salt, user) < c.Percent*(Buckets/100)
	}
}
