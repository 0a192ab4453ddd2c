package extauthz

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// FuzzBearerToken: what is taken for a token is the one thing behind the one scheme, and nothing is taken from a header
// that two readers could take two things from.
func FuzzBearerToken(f *testing.F) {
	for _, s := range []string{"", "Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "Bearer", "Bearer ", "Bearera.b.c", "Bearer\ta", "Bearer a b", "Bearer a,b", "Bearer a, Bearer b", "Basic YTpi", "DPoP a.b.c", " Bearer a", "Bearer a ",
		"Bearer \x00", "Bearer\u00a0a", "Bear\u017fer a", "Bearer =", "Bearer Bearer a", ",Bearer a"} {
		f.Add(s, "")
		f.Add(s, "Bearer x")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		token, reason := bearerToken([]string{one})
		if (token == "") != (reason != "") {
			t.Fatalf("%q: %q, %q", one, token, reason)
		}
		if token != "" {
			scheme := one[:len(one)-len(token)]
			if !strings.EqualFold(strings.TrimRight(scheme, " "), "bearer") || !strings.HasSuffix(scheme, " ") || strings.Contains(token, ",") || token[0] == ' ' {
				t.Fatalf("%q is taken for the token %q", one, token)
			}
			for _, c := range scheme {
				if c > 0x7e {
					t.Fatalf("%q: a scheme past ASCII", one)
				}
			}
		}
		if _, reason := bearerToken([]string{one, two}); reason != policy.MultipleCredentials {
			t.Fatalf("%q and %q: %q", one, two, reason)
		}
		if _, reason := bearerToken([]string{one + "," + two}); reason != policy.MultipleCredentials {
			t.Fatalf("%q and %q, joined: %q", one, two, reason)
		}
	})
}
