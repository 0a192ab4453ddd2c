package charts

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/stage"
)

// TestQuickstart types every shell block of docs/quickstart.md on the local cluster, with a real nginx between them.
func TestQuickstart(t *testing.T) {
	needAssets(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "quickstart.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(page), "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) != 5 {
		t.Fatalf("docs/quickstart.md has %d shell blocks, this test knows what goes between 5", len(blocks))
	}
	s, err := stage.SetEmpty(t.Context(), stage.Options{Root: root, Dir: t.TempDir(), Progress: io.Discard, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Strike(); err != nil {
			t.Error(err)
		}
	})
	shell := newShell(t, s, root)
	shell.run(blocks[0])
	shell.run(blocks[1])
	shell.run(blocks[2])
	if out := shell.run(blocks[3]); !strings.Contains(out, "web-extauthz.shop.svc:8080") || !strings.Contains(out, "web-tokenservice.shop.svc:8080") {
		t.Errorf("the addresses are\n%s", out)
	}
	if err := s.StartNginx(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if out := shell.run(blocks[4]); !strings.Contains(out, "401\n") || !strings.Contains(out, `"user":"alice","role":"admin"`) {
		t.Errorf("the calls answer\n%s", out)
	}
}

// shell is a person's: it keeps PATH and variables from block to block.
type shell struct {
	*testing.T
	dir     string
	env     []string
	exports string // what earlier blocks exported
}

func newShell(t *testing.T, s *stage.Stage, root string) *shell {
	t.Helper()
	helm, err := helmBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tools := filepath.Join(dir, "tools")
	if err := os.Mkdir(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"helm": helm, "kubectl": s.Cluster.KubectlPath()} {
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	// What the page takes from the checkout, and nothing that it writes.
	for _, name := range []string{"charts", "cmd", "internal", "api", "go.mod", "go.sum"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return &shell{T: t, dir: dir, env: append(os.Environ(),
		"PATH="+tools+":"+os.Getenv("PATH"), "KUBECONFIG="+s.Cluster.Kubeconfig(),
		"HELM_CONFIG_HOME="+dir+"/helm", "HELM_CACHE_HOME="+dir+"/helm", "HELM_DATA_HOME="+dir+"/helm",
		"ISSUER="+s.URL, "URL="+s.URL, "PROXIES=127.0.0.0/8")}
}

func (s *shell) run(block string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), "bash", "-euo", "pipefail", "-c", s.exports+block)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("%v:\n%s\n%s", err, block, out)
	}
	for line := range strings.Lines(block) {
		if strings.HasPrefix(line, "export ") {
			s.exports += line
		}
	}
	return string(out)
}
