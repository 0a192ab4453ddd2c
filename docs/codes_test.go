package docs

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

// answers are the statuses of a code and the last parts of the paths that give it, each sorted.
type answers struct{ Statuses, Paths []string }

func (a *answers) add(status, at string) {
	if !slices.Contains(a.Statuses, status) {
		a.Statuses = append(a.Statuses, status)
	}
	if !slices.Contains(a.Paths, at) {
		a.Paths = append(a.Paths, at)
	}
}

// TestCodes holds the last table of api.md to openapi.yaml, which the service's own tests hold to the service, and wants
// each code that somebody must act on in troubleshooting.md too.
func TestCodes(t *testing.T) {
	described, all := describedCodes(t)
	page, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, last, found := strings.Cut(string(page), "## Every answer")
	if !found {
		t.Fatal("api.md has no section Every answer")
	}
	documented := map[string]answers{}
	for line := range strings.Lines(last) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || !strings.HasPrefix(cells[0], "| `") || cells[0] == "| `code`" {
			continue
		}
		var a answers
		for status := range strings.SplitSeq(cells[1], ", ") {
			a.Statuses = append(a.Statuses, status)
		}
		where := strings.TrimSuffix(cells[2], " |")
		for at := range strings.FieldsFuncSeq(where, func(r rune) bool { return r == ',' || r == ';' }) {
			at, _, _ = strings.Cut(strings.TrimSpace(at), " ")
			if slices.Contains(all, at) {
				a.Paths = append(a.Paths, at)
			}
		}
		if where == "every path" {
			a.Paths = slices.Clone(all)
		}
		documented[strings.Trim(cells[0], "| `")] = a
	}
	for _, set := range []map[string]answers{described, documented} {
		for code, a := range set {
			slices.Sort(a.Statuses)
			slices.Sort(a.Paths)
			set[code] = a
		}
	}
	if diff := cmp.Diff(described, documented); diff != "" {
		t.Errorf("the codes of openapi.yaml and of api.md differ:\n%s", diff)
	}
	help, err := os.ReadFile("troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for code := range described {
		if !strings.Contains(string(help), "`"+code+"`") {
			t.Errorf("troubleshooting.md does not say what to do about %s", code)
		}
	}
}

// describedCodes are those of openapi.yaml, and the last parts of all its paths.
func describedCodes(t *testing.T) (codes map[string]answers, paths []string) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	codes = map[string]answers{}
	for name, item := range doc.Paths.Map() {
		at := path.Base(name)
		paths = append(paths, at)
		for _, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				list, _ := response.Value.Extensions["x-codes"].([]any)
				for _, code := range list {
					a := codes[code.(string)]
					a.add(status, at)
					codes[code.(string)] = a
				}
			}
		}
	}
	if len(codes) < 20 || len(paths) < 8 {
		t.Fatalf("openapi.yaml has %d codes and %d paths: the test sees too few", len(codes), len(paths))
	}
	return codes, paths
}
