package token

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// BenchmarkVerify is a token that nobody has seen before, beside what its signature alone costs.
func BenchmarkVerify(b *testing.B) {
	for _, a := range Algorithms {
		v, raw := testVerifier(), good(a)
		b.Run(string(a)+"/whole", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v.Verify(testNow, raw).Outcome != policy.Valid {
					b.Fatal("refused")
				}
			}
		})
		dot := strings.LastIndexByte(raw, '.')
		input := raw[:dot]
		signature, _ := decodeSegment(raw[dot+1:])
		key := keys()[a].Public().key
		b.Run(string(a)+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if verifySignature(a, key, input, signature) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
