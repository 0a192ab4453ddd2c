// Package deptest lets a package hold its own imports to the dependency rule of docs/design.md, section 9.
//
// A guarded package has one test that calls [StdlibOnly] or [Forbid]; the linter enforces the same rule, but a test
// also sees what comes in through a third package.
package deptest

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// kubernetes are the module path prefixes of everything that talks Kubernetes.
var kubernetes = []string{"k8s.io/", "sigs.k8s.io/", "github.com/keyturn/keyturn/api/", "github.com/keyturn/keyturn/controllers"}

const module = "github.com/keyturn/keyturn/"

type listing struct {
	ImportPath string
	Standard   bool
}

// StdlibOnly fails t if the package under test imports, directly or not, anything but the standard library.
// Packages of this module named in also are allowed.
func StdlibOnly(t *testing.T, also ...string) {
	t.Helper()
	for _, p := range dependencies(t) {
		own := strings.TrimPrefix(p.ImportPath, module)
		if !p.Standard && !slices.Contains(also, own) {
			t.Errorf("imports %s: this package is pure and uses the standard library only (docs/design.md, section 9)", p.ImportPath)
		}
	}
}

// NoKubernetes fails t if the package under test imports, directly or not, Kubernetes, the API types or the
// controllers: the data plane must build, run and be reviewed without them.
func NoKubernetes(t *testing.T) {
	t.Helper()
	Forbid(t, kubernetes...)
}

// Forbid fails t if the package under test imports, directly or not, a package whose path begins with a prefix.
func Forbid(t *testing.T, prefixes ...string) {
	t.Helper()
	for _, p := range dependencies(t) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(p.ImportPath, prefix) {
				t.Errorf("imports %s, which docs/design.md, section 9 forbids here", p.ImportPath)
			}
		}
	}
}

// dependencies lists what the package in the working directory imports, without itself and without its tests.
func dependencies(t *testing.T) []listing {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard", ".")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listing
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listing
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 2 {
		t.Fatalf("go list named %d packages: the check saw nothing", len(all))
	}
	return all[:len(all)-1] // -deps lists the package itself last
}
