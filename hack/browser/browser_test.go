package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/keyturn/keyturn/hack/debian"
)

// person is somebody at a browser.
type person struct {
	*testing.T
	tab context.Context
	url string
}

func newPerson(t *testing.T, w *world) *person {
	t.Helper()
	cache, err := debian.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	chromium, err := Find(t.Context(), cache, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	tab, end, err := chromium.Start(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return &person{T: t, tab: tab, url: w.url}
}

// patience is how long a person waits for anything.
const patience = time.Minute

// step is something that a person does.
type step = chromedp.Action[chromedp.Void]

func (p *person) do(what string, steps ...step) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fatalf("%s: %v\n%s", what, err, p.looking())
	}
}

// looking is what the person sees.
func (p *person) looking() string {
	ctx, cancel := context.WithTimeout(p.tab, 2*time.Second)
	defer cancel()
	where, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.OuterHTML("html"))
	return "at " + where + "\n" + text
}

// reads evaluates a script that returns a text.
func (p *person) reads(script string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.tab, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](script))
	if err != nil {
		return "" // between two pages
	}
	return text
}

// runs has the page do something, which certainly happens.
func (p *person) runs(script string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](script+", ''")); err != nil {
		p.Errorf("%s: %v\n%s", script, err, p.looking())
	}
}

// sees waits until the element with an id has a text.
func (p *person) sees(id, text string) {
	p.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); p.reads("document.getElementById('"+id+"')?.textContent ?? ''") != text; {
		select {
		case <-end:
			p.Fatalf("#%s does not become %q\n%s", id, text, p.looking())
		case <-tick.C:
		}
	}
}

// another opens another tab of the same person.
func (p *person) another() *person {
	p.Helper()
	tab, end := chromedp.NewContext(p.tab)
	p.Cleanup(end)
	if err := chromedp.Do(tab); err != nil {
		p.Fatal(err)
	}
	return &person{T: p.T, tab: tab, url: p.url}
}

func (p *person) cookies() map[string]*network.Cookie {
	p.Helper()
	all := map[string]*network.Cookie{}
	p.do("read the cookies", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		result, err := cdp.Call(ctx, tab, network.GetCookies, network.GetCookiesParams{URLs: []string{p.url + "/", p.url + "/auth/refresh"}})
		for _, c := range result.Cookies {
			all[c.Name] = c
		}
		return err
	}))
	return all
}

// accessEnds waits until the access cookie is gone, which the browser does when it expires.
func (p *person) accessEnds() {
	p.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for p.cookies()["__Host-keyturn-access"] != nil {
		select {
		case <-deadline:
			p.Fatal("the access cookie does not expire")
		case <-tick.C:
		}
	}
}

func TestPersonAtABrowser(t *testing.T) {
	w := newWorld(t)
	p := newPerson(t, w)

	t.Run("a page without a session leads to the login and back", func(t *testing.T) {
		p.T = t
		p.do("open a page", chromedp.Navigate(p.url+"/orders?status=open&page=2"), chromedp.WaitVisible("#name"))
		p.do("log in", chromedp.SendKeys("#name", user), chromedp.SendKeys("#password", password), chromedp.Click("#go"))
		p.sees("user", user)
		p.sees("page", "/orders?status=open&page=2")
	})
	t.Run("no script can read a token", func(t *testing.T) {
		p.T = t
		readable, stored := p.reads("'cookies ' + document.cookie"), p.reads("JSON.stringify([localStorage, sessionStorage])")
		if readable != "cookies " || stored != "[{},{}]" {
			t.Errorf("scripts can read %q %q", readable, stored)
		}
		cookies := p.cookies()
		for end := time.Now().Add(patience); cookies["__Host-keyturn-access"] == nil && time.Now().Before(end); cookies = p.cookies() {
			p.do("open a page", chromedp.Navigate(p.url+"/again")) // the token of the login has expired meanwhile
			p.sees("user", user)
		}
		for name, want := range map[string]struct {
			path string
			site network.CookieSameSite
		}{"__Host-keyturn-access": {"/", network.CookieSameSiteLax}, "__Secure-keyturn-refresh": {"/auth/", network.CookieSameSiteStrict}} {
			c := cookies[name]
			if c == nil || !c.Secure || !c.HTTPOnly || c.Path != want.path || c.SameSite != want.site {
				t.Errorf("cookie %s is %+v", name, c)
			}
		}
	})
	t.Run("two tabs refresh at once, silently", func(t *testing.T) {
		p.T = t
		second := p.another()
		second.do("open a second tab", chromedp.Navigate(p.url+"/second"))
		second.sees("user", user)
		for range 3 {
			p.accessEnds()
			for _, tab := range []*person{p, second} {
				tab.runs("document.getElementById('answer').textContent = ''")
			}
			both(p, second, func(tab *person) { tab.runs("document.getElementById('ask').click()") })
			p.sees("answer", user)
			second.sees("answer", user)
		}
	})
	t.Run("an expired page comes back by itself", func(t *testing.T) {
		p.T = t
		p.accessEnds()
		p.do("open a page", chromedp.Navigate(p.url+"/deep/link?a=1&b=%2Fx"))
		p.sees("page", "/deep/link?a=1&b=%2Fx")
		p.sees("user", user)
	})
	t.Run("two tabs navigate at once", func(t *testing.T) {
		p.T = t
		second := p.another()
		second.do("open a second tab", chromedp.Navigate(p.url+"/second"))
		p.accessEnds()
		both(p, second, func(tab *person) { tab.reads("location.assign('/both'), ''") })
		p.sees("page", "/both")
		second.sees("page", "/both")
	})
	t.Run("another site can do nothing", func(t *testing.T) {
		p.T = t
		p.crossSite()
	})
	t.Run("logout ends it", func(t *testing.T) {
		p.T = t
		p.do("open a page", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible("#logout"))
		p.do("log out", chromedp.Click("#logout"))
		p.sees("answer", "logout 200")
		if left := p.cookies(); len(left) != 0 {
			t.Errorf("cookies after the logout: %v", left)
		}
		p.do("open a page", chromedp.Navigate(p.url+"/orders"), chromedp.WaitVisible("#name"))
		where := p.reads("location.href")
		if !strings.HasPrefix(where, p.url+"/login/?return_to=") {
			t.Errorf("after the logout a page leads to %s", where)
		}
	})
}

// both lets two people act at the same moment.
func both(a, b *person, act func(*person)) {
	var all sync.WaitGroup
	all.Go(func() { act(a) })
	all.Go(func() { act(b) })
	all.Wait()
}

// crossSite opens a page of another site that tries to end the session and to act by it.
func (p *person) crossSite() {
	p.Helper()
	attack := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><p id="done"></p><form id="f" method="post" action="` + p.url + `/auth/logout" target="sink"></form><iframe name="sink"></iframe>
<script>
(async () => {
  for (const path of ['/auth/logout', '/auth/refresh', '/api/me'])
    await fetch('` + p.url + `' + path, { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'Content-Type': 'text/plain' }, body: '{}' }).catch(() => {});
  document.getElementById('f').submit();
  document.getElementById('done').textContent = 'done';
})();
</script>`))
	}))
	defer attack.Close()
	before := p.cookies()["__Secure-keyturn-refresh"]
	evil := p.another()
	evil.do("open the other site", chromedp.Navigate(strings.Replace(attack.URL, "127.0.0.1", "localhost", 1)))
	evil.sees("done", "done")
	after := p.cookies()["__Secure-keyturn-refresh"]
	if before == nil || after == nil || before.Value != after.Value {
		p.Error("another site changed the session")
	}
	p.do("open a page", chromedp.Navigate(p.url+"/still-here"))
	p.sees("user", user)
}
