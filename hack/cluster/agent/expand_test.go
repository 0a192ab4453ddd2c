package agent

import "testing"

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "a", "B": "$(A)", "EMPTY": ""}
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"$(A)", "a"},
		{"x$(A)y$(A)", "xaya"},
		{"$(B)", "$(A)"},
		{"[$(EMPTY)]", "[]"},
		{"$(UNKNOWN)", "$(UNKNOWN)"},
		{"$$(A)", "$(A)"},
		{"$$$(A)", "$a"},
		{"$$$$(A)", "$$(A)"},
		{"$A ${A} $", "$A ${A} $"},
		{"$(A", "$(A"},
		{"cost: 5$", "cost: 5$"},
		{"$()", "$()"},
	} {
		got := expand(tt.in, func(k string) (string, bool) { v, ok := values[k]; return v, ok })
		if got != tt.want {
			t.Errorf("expand(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
