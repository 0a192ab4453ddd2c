package browser

import (
	"context"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// keptSession is the answer to who keeps a legacy session.
func keptSession(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"token_type":"session","expires_in":3600}`))
}

// sendsBack refuses every page, as a brownout does.
func sendsBack(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/auth/continue?return_to="+r.URL.Path, http.StatusFound)
}

// What a page says to who keeps a legacy session that the site does not take at the moment.
func TestContinueWithASession(t *testing.T) {
	w, served := newContinueWorld(t)
	p := newPerson(t, served)
	open := func(path string) {
		p.Helper()
		p.do("open a page", chromedp.Navigate(p.url+path))
	}
	t.Run("a session that is taken again is not seen", func(t *testing.T) {
		p.T = t
		w.set(keptSession, ordinaryPage)
		open("/auth/continue?return_to=/orders")
		p.sees("page", "/orders")
	})
	t.Run("a session that is refused goes back once", func(t *testing.T) {
		p.T = t
		w.set(keptSession, sendsBack)
		open("/brownout")
		p.awaitHeading("Not at the moment")
		if n := w.refreshes.Load(); n != 2 {
			t.Errorf("%d refreshes", n)
		}
		p.keepPicture("brownout")
		w.set(keptSession, ordinaryPage)
		p.do("try again", chromedp.Click(".actions button"))
		p.sees("page", "/brownout")
	})
	t.Run("tokens after all go on", func(t *testing.T) {
		p.T = t
		w.set(answers(http.StatusOK), ordinaryPage)
		open("/auth/continue?return_to=/brownout")
		p.sees("page", "/brownout")
	})
	t.Run("a browser that forgets does not spin", func(t *testing.T) {
		p.T = t
		forget := `Object.defineProperty(Storage.prototype, 'setItem', {value() { throw new Error('forbidden'); }}); window.name = 'taken'`
		p.do("forbid to remember", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: forget})
			return err
		}))
		w.set(keptSession, sendsBack)
		open("/forgetful")
		p.awaitHeading("Please go on")
		if n := w.refreshes.Load(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		w.set(keptSession, ordinaryPage)
		p.do("go on", chromedp.Click(".actions button"))
		p.sees("page", "/forgetful")
	})
}
