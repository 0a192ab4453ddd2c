package browser

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
	"github.com/keyturn/keyturn/internal/tokenhttp"
)

// continueWorld serves the real page /auth/continue, and a refresh and pages as a test wants them.
type continueWorld struct {
	refreshes atomic.Int32
	refresh   atomic.Pointer[http.HandlerFunc]
	page      atomic.Pointer[http.HandlerFunc]
}

func (w *continueWorld) set(refresh, page http.HandlerFunc) {
	w.refreshes.Store(0)
	w.refresh.Store(&refresh)
	w.page.Store(&page)
}

func newContinueWorld(t *testing.T) (*continueWorld, *world) {
	t.Helper()
	key, err := token.Generate(token.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	second := snapshot.Duration(time.Second)
	raw, err := snapshot.EncodeIssuer(snapshot.Issuer{
		Header: snapshot.Header{Revision: 1, TokenService: "demo/web", Issuer: "https://auth.example.com"},
		Keys:   snapshot.KeySet{Name: "demo/main", Epoch: 1, Active: key.KID(), Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: key.Public().JWK()}}},
		Access: snapshot.AccessToken{TTL: second, Audiences: []string{"shop"}}, SigningKey: key.JWK(),
		Refresh:    snapshot.RefreshToken{IdleTTL: second, AbsoluteTTL: second, MaxFamiliesPerUser: 1},
		LoginLimit: snapshot.RateLimit{Limit: 1, Window: second}, MaxPropagation: second,
		Browser:  snapshot.Browser{Cookies: snapshot.CookiesRequired},
		Identity: []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText("a:$2a$04$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := tokenhttp.Build(nil, identity.NewHasher(1, 1))(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	service := tokenhttp.New(tokenhttp.Config{Document: func() *tokenhttp.Document { return doc }, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	w := &continueWorld{}
	mux := http.NewServeMux()
	mux.Handle("GET /auth/continue", service.Public())
	mux.HandleFunc("POST /auth/refresh", func(rw http.ResponseWriter, r *http.Request) { w.refreshes.Add(1); (*w.refresh.Load())(rw, r) })
	mux.HandleFunc("GET /", func(rw http.ResponseWriter, r *http.Request) { (*w.page.Load())(rw, r) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return w, &world{T: t, url: server.URL}
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func ordinaryPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(`<!doctype html><p id="page">` + r.URL.Path + `</p>`))
}

const heading = "document.querySelector('h1')?.textContent ?? ''"

// reads until the heading of the page is what is wanted.
func (p *person) awaitHeading(want string) {
	p.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); p.reads(heading) != want; {
		select {
		case <-end:
			p.Fatalf("the heading does not become %q\n%s", want, p.looking())
		case <-tick.C:
		}
	}
}

// keepPicture saves what is to be seen, where KEYTURN_PICTURES names a directory.
func (p *person) keepPicture(name string) {
	p.Helper()
	dir := os.Getenv("KEYTURN_PICTURES")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.tab, chromedp.FullScreenshot(100))
	if err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		p.Fatal(err)
	}
}

func TestContinuePage(t *testing.T) {
	w, served := newContinueWorld(t)
	p := newPerson(t, served)
	open := func(path string) {
		p.Helper()
		p.do("open a page", chromedp.Navigate(p.url+path))
	}
	t.Run("an outage that passes is not seen", func(t *testing.T) {
		p.T = t
		w.set(func(rw http.ResponseWriter, _ *http.Request) {
			if w.refreshes.Load() < 3 {
				rw.Header().Set("Retry-After", "1")
				rw.WriteHeader(http.StatusServiceUnavailable)
			}
		}, ordinaryPage)
		open("/auth/continue?return_to=/orders?a=1")
		p.sees("page", "/orders")
	})
	t.Run("an outage that lasts shows a button", func(t *testing.T) {
		p.T = t
		w.set(answers(http.StatusServiceUnavailable), ordinaryPage)
		open("/auth/continue?return_to=%2Forders")
		p.awaitHeading("That did not work")
		if n := w.refreshes.Load(); n != 5 {
			t.Errorf("%d refreshes", n)
		}
		p.keepPicture("outage")
		w.set(answers(http.StatusOK), ordinaryPage)
		p.do("try again", chromedp.Click(".actions button"))
		p.sees("page", "/orders")
	})
	t.Run("a page that sends back does not spin", func(t *testing.T) {
		p.T = t
		w.set(answers(http.StatusOK), func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/auth/continue?return_to="+r.URL.Path, http.StatusFound)
		})
		open("/spins")
		p.awaitHeading("This page does not open")
		if n := w.refreshes.Load(); n > 3 {
			t.Errorf("%d refreshes", n)
		}
		w.set(answers(http.StatusOK), ordinaryPage)
		p.do("try again", chromedp.Click(".actions button"))
		p.sees("page", "/spins")
	})
	t.Run("without a login page it says so", func(t *testing.T) {
		p.T = t
		w.set(answers(http.StatusUnauthorized), ordinaryPage)
		open("/auth/continue?return_to=/orders")
		p.awaitHeading("Please log in again")
		p.keepPicture("ended")
	})
	t.Run("any other answer says so at once", func(t *testing.T) {
		p.T = t
		w.set(answers(http.StatusForbidden), ordinaryPage)
		open("/auth/continue?return_to=/orders")
		p.awaitHeading("That did not work")
		if n := w.refreshes.Load(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}
