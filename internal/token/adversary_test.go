package token

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

func TestAdversarialTokens(t *testing.T) {
	v := testVerifier()
	classes, sources, ran := map[string]int{}, map[string]int{}, 0
	for _, a := range Algorithms {
		t.Run(string(a), func(t *testing.T) {
			ran++
			cases := setting().Cases(forgingKey(keys()[a]))
			seen := map[string]bool{}
			for _, c := range cases {
				name := c.Class + "/" + c.Name
				if seen[name] || !strings.HasPrefix(c.Source, "RFC ") && !strings.HasPrefix(c.Source, "CVE-") {
					t.Errorf("%s: twice, or without a source: %q", name, c.Source)
				}
				seen[name] = true
				classes[c.Class]++
				sources[c.Source]++
				got := v.Verify(testNow, c.Raw)
				if got.Outcome != c.Outcome || got.Reason != c.Reason || c.Outcome == policy.Valid {
					t.Errorf("%s: %s %s, want %s %s", name, got.Outcome, got.Reason, c.Outcome, c.Reason)
				}
				if got.Claims.Subject != "" || got.KID != "" {
					t.Errorf("%s: a refused token leaves claims behind", name)
				}
				// Nothing but its age may be forgiven to a token that logs out.
				if again := v.VerifyExpired(testNow, c.Raw); again.Outcome == policy.Valid && c.Outcome != policy.Expired {
					t.Errorf("%s: good enough for logout", name)
				}
			}
			if len(cases) < 300 {
				t.Errorf("%d cases only", len(cases))
			}
			t.Logf("%d hostile tokens", len(cases))
		})
	}
	// Every rule of RFC 8725, section 3 that is about verifying signed tokens, and the reader's own subjects.
	for _, source := range []string{"RFC 8725 §3.1", "RFC 8725 §3.2", "RFC 8725 §3.3", "RFC 8725 §3.4", "RFC 8725 §3.6", "RFC 8725 §3.7", "RFC 8725 §3.8", "RFC 8725 §3.9", "RFC 8725 §3.10", "RFC 8725 §3.11"} {
		if sources[source] == 0 && ran == len(Algorithms) {
			t.Errorf("nothing tests %s", source)
		}
	}
	t.Logf("%d classes, %d sources", len(classes), len(sources))
}

func TestValidVariants(t *testing.T) {
	v := testVerifier()
	for _, a := range Algorithms {
		all := setting().Variants(forgingKey(keys()[a]))
		seen := map[string]bool{}
		for _, c := range all {
			if seen[c.Name] {
				t.Errorf("%s is there twice", c.Name)
			}
			seen[c.Name] = true
			if got := v.Verify(testNow, c.Raw); got.Outcome != policy.Valid || got.Reason != policy.OK || got.KID != keys()[a].KID() {
				t.Errorf("%s %s: %s %s", a, c.Name, got.Outcome, got.Reason)
			} else if strings.Contains(c.Name, "subject") && got.Claims.Subject != "ann" {
				t.Errorf("%s %s: subject %q", a, c.Name, got.Claims.Subject)
			}
		}
		if len(all) < 30 {
			t.Errorf("%s: %d variants only", a, len(all))
		}
		t.Logf("%s: %d good tokens of unusual form", a, len(all))
	}
}
