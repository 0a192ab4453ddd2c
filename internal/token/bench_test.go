package token

import (
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// BenchmarkVerify is a token that nobody has seen before. x_bare is how many times the signature alone it costs: the
// quickest of many short runs of each, one after the other, since the machine's speed drifts.
func BenchmarkVerify(b *testing.B) {
	for _, a := range Algorithms {
		b.Run(string(a), func(b *testing.B) {
			v, raw := testVerifier(), good(a)
			dot := strings.LastIndexByte(raw, '.')
			input, key := raw[:dot], keys()[a].Public().key
			signature, _ := decodeSegment(raw[dot+1:])
			whole, bare := time.Hour, time.Hour
			b.ReportAllocs()
			for b.Loop() {
				if v.Verify(testNow, raw).Outcome != policy.Valid {
					b.Fatal("refused")
				}
			}
			allocs := testing.AllocsPerRun(20, func() { v.Verify(testNow, raw) }) - testing.AllocsPerRun(20, func() { _ = verifySignature(a, key, input, signature) })
			for range 300 {
				whole = min(whole, quickest(func() { v.Verify(testNow, raw) }))
				bare = min(bare, quickest(func() { _ = verifySignature(a, key, input, signature) }))
			}
			b.ReportMetric(float64(whole)/float64(bare), "x_bare")
			b.ReportMetric(allocs, "allocs-over-bare")
			b.ReportMetric(float64(bare), "bare-ns")
		})
	}
}

// quickest is the least of a few runs.
func quickest(f func()) time.Duration {
	least := time.Hour
	for range 8 {
		started := time.Now()
		f()
		least = min(least, time.Since(started))
	}
	return least
}

// BenchmarkRefuse is what a token costs that is refused before any signature is looked at.
func BenchmarkRefuse(b *testing.B) {
	v := testVerifier()
	for _, c := range []struct{ class, name string }{
		{"alg", "named none"}, {"kid", "of no key"}, {"exp", "an hour ago"}, {"iss", "another"}, {"aud", "another"}, {"jwe", "five segments"}, {"size", "a megabyte of dots"},
		{"json", "thousands of arrays in the payload"}, {"json", "hundreds of objects in the payload"}, {"json", "duplicate of its own in the payload"}, {"base64", "padding in the signature"},
	} {
		for _, hostile := range setting().Cases(forgingKey(keys()[RS256])) {
			if hostile.Class != c.class || hostile.Name != c.name {
				continue
			}
			b.Run(c.class+"/"+strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if v.Verify(testNow, hostile.Raw).Outcome == policy.Valid {
						b.Fatal("accepted")
					}
				}
			})
		}
	}
}
