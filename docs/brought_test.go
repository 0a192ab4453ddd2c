package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/internal/token"
)

var inline = regexp.MustCompile("`(openssl genpkey [^`]+)`")

// TestBringYourOwnKeys types the commands of admin-guide.md, and of the sample: what they make is taken, as the page says.
func TestBringYourOwnKeys(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatalf("openssl makes the keys of the guide: install it (apt-get install openssl): %v", err)
	}
	_, section, found := strings.Cut(readPage(t, "admin-guide.md"), "## Bring your own keys")
	section, _, closed := strings.Cut(section, "\n## ")
	_, script, _ := strings.Cut(section, "```sh\n")
	script, _, ends := strings.Cut(script, "```")
	if !found || !closed || !ends {
		t.Fatal("admin-guide.md has no section about brought keys with a shell block")
	}
	dir := t.TempDir()
	runScript(t, dir, script)
	made, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(made) != 2 {
		t.Fatalf("the commands made %v: %v", made, err)
	}
	for _, name := range made {
		if !strings.Contains(section, "--from-file="+filepath.Base(name)) {
			t.Errorf("the guide makes %s and does not put it into the Secret", filepath.Base(name))
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		isGoodFor(t, raw, token.ES256)
	}
	commands := inline.FindAllStringSubmatch(strings.ReplaceAll(section, "\n", " "), -1)
	if len(commands) != 2 {
		t.Fatalf("the guide tells %d commands for other algorithms", len(commands))
	}
	for i, algorithms := range [][]token.Algorithm{{token.RS256, token.PS256}, {token.EdDSA}} {
		isGoodFor(t, []byte(runScript(t, dir, commands[i][1]+" 2>/dev/null")), algorithms...)
	}

	text, err := os.ReadFile(filepath.Join("..", "config", "samples", "brought-keys", "secret.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		StringData map[string]string `json:"stringData"`
	}
	if err := yaml.Unmarshal(text, &sample); err != nil || len(sample.StringData) == 0 {
		t.Fatalf("the sample has no keys: %v", err)
	}
	for _, key := range sample.StringData {
		isGoodFor(t, []byte(key), token.ES256)
	}
}

func isGoodFor(t *testing.T, raw []byte, algorithms ...token.Algorithm) {
	t.Helper()
	b, err := token.ParseBrought(raw)
	if err != nil {
		t.Errorf("the commands of the guide make a key that is refused: %v", err)
		return
	}
	if !slices.Equal(b.Algorithms(), algorithms) {
		t.Errorf("it is good for %v, not for %v", b.Algorithms(), algorithms)
	}
}
