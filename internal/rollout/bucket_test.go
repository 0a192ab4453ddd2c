package rollout

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

// The vectors were computed by another implementation, in another language.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "bucketing-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Salt   string `json:"salt"`
		User   string `json:"user_id"`
		Bucket int    `json:"bucket"`
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) < 70 {
		t.Fatalf("%d vectors", len(rows))
	}
	for _, row := range rows {
		if got := Bucket(row.Salt, row.User); got != row.Bucket {
			t.Errorf("Bucket(%q, %q) = %d, want %d", row.Salt, row.User, got, row.Bucket)
		}
	}
}

// Raising the percentage only adds users, and at each percentage the share is the percentage, within five deviations.
func TestRaisingOnlyAdds(t *testing.T) {
	const users = 20_000
	for _, salt := range []string{"", "checkout-2026", "another"} {
		in := make([]bool, users)
		for percent := 0; percent <= 100; percent++ {
			c, members := Cohort{Salt: salt, Percent: percent}, 0
			for i := range users {
				now := c.Has(fmt.Sprint("user-", i))
				if in[i] && !now {
					t.Fatalf("user-%d left the cohort at %d %%", i, percent)
				}
				if in[i] = now; now {
					members++
				}
			}
			p := float64(percent) / 100
			if bound := 5 * math.Sqrt(users*p*(1-p)); math.Abs(float64(members)-users*p) > bound {
				t.Errorf("salt %q, %d %%: %d of %d users", salt, percent, members, users)
			}
		}
	}
}

func TestCohort(t *testing.T) {
	lists := func(include, exclude string) Cohort {
		return Cohort{Salt: "s", Include: map[string]bool{include: true}, Exclude: map[string]bool{exclude: true}}
	}
	whole := lists("", "bob")
	whole.Percent = 100
	for _, row := range []struct {
		name string
		c    Cohort
		user string
		want bool
	}{
		{"the zero value", Cohort{}, "alice", false},
		{"everybody", Cohort{Percent: 100}, "alice", true},
		{"more than everybody", Cohort{Percent: 1000}, "alice", true},
		{"less than nobody", Cohort{Percent: -5}, "alice", false},
		{"nobody in particular", Cohort{Percent: 100}, "", false},
		{"nobody in particular, included", lists("", "x"), "", false},
		{"included at 0 %", lists("alice", "bob"), "alice", true},
		{"excluded at 100 %", whole, "bob", false},
		{"excluded and included", lists("bob", "bob"), "bob", false},
		{"of neither list", lists("alice", "bob"), "carol", false},
	} {
		if got := row.c.Has(row.user); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
}
