package plugin

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// capture is a marker of docs/kubectl-keyturn.md and the block that follows it, if there is one yet.
var capture = regexp.MustCompile("(?s)<!-- capture: ([a-z-]+) -->\n(\n```text\n.*?```\n)?")

// TestPage holds the captures of the documentation to the golden files; -update writes them anew.
func TestPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "kubectl-keyturn.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, captures := string(raw), 0
	want := capture.ReplaceAllStringFunc(page, func(found string) string {
		captures++
		name := capture.FindStringSubmatch(found)[1]
		golden, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		return "<!-- capture: " + name + " -->\n\n```text\n" + strings.TrimRight(string(golden), "\n") + "\n```\n"
	})
	if captures < 7 {
		t.Errorf("%d captures: the test sees too few", captures)
	}
	if want == page {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the plugin prints: go test ./internal/plugin -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
