package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRules runs the tests of hack/promql: each alert on Prometheus's own engine, each expression of the dashboard
// through its parser. They are a module of their own, which `go test ./...` of this one does not enter.
func TestRules(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...")
	cmd.Dir = filepath.Join("..", "hack", "promql")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test in hack/promql: %v\n%s", err, out)
	}
	// What this test read through the other process, for the cache of go test. The other one is told to use none: it does
	// not track files outside of its module.
	for _, file := range []string{
		filepath.Join(chart, "files", "rules.yaml"), filepath.Join(chart, "files", "dashboards", "keyturn.json"),
		filepath.Join("..", "docs", "metrics.md"), filepath.Join("..", "hack", "promql", "rules_test.go"),
		filepath.Join("..", "hack", "promql", "alerts_test.go"), filepath.Join("..", "hack", "promql", "for_test.go"),
	} {
		if _, err := os.ReadFile(file); err != nil {
			t.Error(err)
		}
	}
}
