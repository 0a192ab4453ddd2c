package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func readDocument(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// documentedLogin is the location of the login page in docs/ingress/nginx.md.
func documentedLogin(t *testing.T) string {
	t.Helper()
	page := readDocument(t, "ingress/nginx.md")
	_, rest, found := strings.Cut(page, "```nginx\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed || strings.Count(page, "```nginx\n") != 1 {
		t.Fatal("docs/ingress/nginx.md must have one nginx block: the location of the login page")
	}
	return block
}

// TestGuide holds docs/browser.md to the sample application that the other tests open: each script that it shows is
// there, word for word.
func TestGuide(t *testing.T) {
	blocks := strings.Split(readDocument(t, "browser.md"), "```js\n")[1:]
	for _, rest := range blocks {
		block, _, closed := strings.Cut(rest, "```")
		shown := false
		for _, name := range []string{"app.js", "login.js"} {
			script, err := pages.ReadFile("page/" + name)
			if err != nil {
				t.Fatal(err)
			}
			shown = shown || strings.Contains(string(script), block)
		}
		if !closed || !shown || len(block) < 40 {
			t.Errorf("docs/browser.md shows a script that the sample application does not have:\n%s", block)
		}
	}
	if len(blocks) < 3 {
		t.Errorf("docs/browser.md shows %d scripts: the test sees too few", len(blocks))
	}
}

// The login page sends nobody to another site, whatever a link to it says.
func TestLoginStaysHome(t *testing.T) {
	w := newWorld(t)
	p := newPerson(t, w)
	for name, returnTo := range map[string]string{
		"another site":             "https%3A%2F%2Flocalhost%3A1%2F",
		"a host after two slashes": "%2F%2Flocalhost%3A1%2F",
		"a backslash":              "%2F%5Clocalhost%3A1%2F",
		"a script":                 "javascript%3Adocument.title%3D1",
		"nothing that is one":      "%2F%2F",
	} {
		t.Run(name, func(t *testing.T) {
			p.T = t
			p.do("open the login", chromedp.Navigate(p.url+"/login/?return_to="+returnTo), chromedp.WaitVisible("#name"))
			p.do("log in", chromedp.SendKeys("#name", user), chromedp.SendKeys("#password", password), chromedp.Click("#go"))
			p.sees("page", "/")
			if origin := p.reads("location.origin"); origin != p.url {
				t.Errorf("the login leads to %s", origin)
			}
		})
	}
}
