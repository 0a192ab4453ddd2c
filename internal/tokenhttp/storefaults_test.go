package tokenhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestStoreDown(t *testing.T) {
	r := newRig(t)
	b := &broken{Store: r.store}
	r.server.Close()
	r.backend = b
	r.service.measureStore(Config{Families: b, Sessions: b, Limiter: b, Acquaintances: b})
	r.server = httptest.NewServer(r.service.Public())
	r.url = r.server.URL
	a := r.login("alice", canary)
	fail := func(what string) {
		if what == "" {
			b.fail.Store(nil)
			return
		}
		b.fail.Store(&what)
	}
	for _, test := range []struct {
		operation string
		ask       func() answer
	}{
		{"create", func() answer { return r.login("alice", canary) }},
		{"take", func() answer { return r.login("alice", canary) }},
		{"inspect", func() answer { return r.refresh(a.text("refresh_token")) }},
		{"rotate", func() answer { return r.refresh(a.text("refresh_token")) }},
		{"inspect", func() answer { return r.logout("refresh_token", a.text("refresh_token")) }},
		{"revoke", func() answer { return r.logout("refresh_token", a.text("refresh_token")) }},
		{"revoke", func() answer { return r.logout("access_token", a.text("access_token")) }},
	} {
		fail(test.operation)
		r.want(test.ask(), http.StatusServiceUnavailable, CodeStoreUnavailable)
	}
	fail("all")
	if s := r.service.Status(t.Context()); s.StoreReachable {
		t.Error("the status says that the store is reachable")
	}
	fail("")
	if s := r.service.Status(t.Context()); !s.StoreReachable {
		t.Error("the status says that the store is not reachable")
	}
	// Nothing was lost by the failures.
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
}

// A store that hangs is one that fails, in bounded time, whatever comes in meanwhile; the keys are published still.
func TestStoreHangs(t *testing.T) {
	r := newRig(t)
	a := r.loggedIn("192.0.2.1")
	b := &broken{Store: r.store}
	r.service.measureStore(Config{Families: b, Sessions: b, Limiter: r.store, Acquaintances: r.store, StoreTimeout: 100 * time.Millisecond})
	all := "all"
	b.hang.Store(true)
	b.fail.Store(&all)
	var waiting sync.WaitGroup
	begun := time.Now()
	for i := range 150 {
		waiting.Go(func() {
			var got answer
			switch i % 3 {
			case 0:
				got = r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary), "X-Forwarded-For", fmt.Sprint("198.51.100.", i))
			case 1:
				got = r.refresh(a.text("refresh_token"))
			default:
				got = r.logout("access_token", a.text("access_token"))
			}
			if got.status != http.StatusServiceUnavailable || got.text("code") != CodeStoreUnavailable {
				t.Errorf("answer %d: %d %s", i, got.status, got.text("code"))
			}
		})
	}
	waiting.Wait()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("150 requests on a hanging store took %s", took)
	}
	if got := r.do(http.MethodGet, "/.well-known/jwks.json", ""); got.status != http.StatusOK {
		t.Errorf("the keys meanwhile: %d", got.status)
	}
	b.fail.Store(nil)
	r.service.measureStore(Config{Families: b, Sessions: b, Limiter: r.store, Acquaintances: r.store}) // with the usual time again
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
}
