package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	metric  = regexp.MustCompile("[`{( ]keyturn_[a-z_]+")
	word    = regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)`")
	quoted  = regexp.MustCompile(`\*([^*\n]+)\*`)
	pieces  = regexp.MustCompile(`\s*…\s*|\d+`)
	verbs   = regexp.MustCompile(`%\.?\d*[a-z]`)
	spacing = regexp.MustCompile(`\s+`)
)

// TestSymptoms holds troubleshooting.md and security.md to the programs: what somebody reads in a log, a status or an
// answer, and looks for in these pages, is there as the programs say it.
func TestSymptoms(t *testing.T) {
	source := sources(t, "../internal", "../controllers", "../cmd", "../api", "../config/rbac")
	metrics := readPage(t, "metrics.md")
	seen := 0
	for _, page := range []string{"troubleshooting.md", "security.md", "admin-guide.md", "api.md", "browser.md", "identity.md", "migration-guide.md"} {
		for _, name := range metric.FindAllString(readPage(t, page), -1) {
			if name = name[1:]; !strings.Contains(metrics, "`"+name+"`") {
				t.Errorf("%s names the metric %s, which is not in metrics.md", page, name)
			}
		}
	}
	for _, page := range []string{"troubleshooting.md", "security.md"} {
		for _, found := range word.FindAllStringSubmatch(readPage(t, page), -1) {
			seen++
			// Names in logs, codes, columns of a policy: all are in a string or a tag of the source.
			if !strings.Contains(source, `"`+found[1]) && !strings.Contains(source, found[1]+`"`) && !settings[found[1]] {
				t.Errorf("%s names %s, which no program says", page, found[1])
			}
		}
	}
	_, help, found := strings.Cut(readPage(t, "troubleshooting.md"), "## The store")
	if !found {
		t.Fatal("troubleshooting.md has no section The store")
	}
	help, _, _ = strings.Cut(help, "## Keys")
	for _, found := range quoted.FindAllStringSubmatch(help, -1) {
		for _, piece := range pieces.Split(found[1], -1) {
			if piece = strings.TrimSpace(piece); piece == "" {
				continue
			}
			seen++
			if !strings.Contains(source, piece) {
				t.Errorf("troubleshooting.md quotes %q, which no program says", piece)
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d words were looked for", seen)
	}
}

// settings are names of other programs' settings.
var settings = map[string]bool{"synchronous_standby_names": true, "synchronous_commit": true, "max_connections": true}

// sources are all Go files but tests below some directories, with the verbs of formats and line breaks made spaces.
func sources(t *testing.T, roots ...string) string {
	t.Helper()
	var all strings.Builder
	for _, root := range roots {
		if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".js") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return spacing.ReplaceAllString(verbs.ReplaceAllString(all.String(), " "), " ")
}
