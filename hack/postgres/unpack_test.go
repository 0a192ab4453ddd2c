package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/debian"
)

// The package that a machine without PostgreSQL unpacks runs from where it was unpacked. It is fetched only for the soak:
// a machine that has PostgreSQL needs no network.
func TestUnpackedPackageRuns(t *testing.T) {
	if os.Getenv("KEYTURN_SOAK") != "1" {
		t.Log("KEYTURN_SOAK=1 unpacks Debian's package and runs it")
		return
	}
	cache, err := debian.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	programs, err := unpacked(t.Context(), cache, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(programs.Postgres, "/usr/") {
		t.Fatalf("%s is not the unpacked one", programs.Postgres)
	}
	s, err := start(t.Context(), programs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
}
