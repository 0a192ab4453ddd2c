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
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinks follows every link between the pages of this repository, to the heading if it names one.
func TestLinks(t *testing.T) {
	pages := []string{}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "charts/keyturn/README.md"} {
		pages = append(pages, filepath.Join("..", filepath.FromSlash(name)))
	}
	if err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range pages {
		text := readPage(t, page)
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(found[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: there is no such file", page, found[1])
				continue
			}
			if anchor != "" && !hasAnchor(readPage(t, target), anchor) {
				t.Errorf("%s: %s: there is no such heading", page, found[1])
			}
		}
	}
	if links < 40 {
		t.Errorf("only %d links were seen", links)
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hasAnchor tells whether a heading has this anchor, as GitHub makes it.
func hasAnchor(page, anchor string) bool {
	for _, found := range heading.FindAllStringSubmatch(page, -1) {
		if strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
