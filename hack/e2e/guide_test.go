package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPIGuide types every shell block of docs/api.md, one after the other, against the real nginx.
func TestAPIGuide(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir, blocks := t.TempDir(), 0
	for _, part := range strings.Split(string(page), "```sh\n")[1:] {
		script, _, _ := strings.Cut(part, "```")
		blocks++
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "URL="+theStage.URL)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v:\n%s\n%s", err, script, out)
		}
		if raw, err := os.ReadFile(filepath.Join(dir, "tokens.json")); err == nil {
			for _, word := range strings.Split(string(raw), `"`) {
				if strings.HasPrefix(word, "ktr_") {
					secretsSeen.add("refresh token", word)
				}
			}
		}
	}
	if blocks < 5 {
		t.Errorf("docs/api.md has %d shell blocks: the test sees too few", blocks)
	}
}
