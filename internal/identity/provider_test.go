package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// fakeProvider is an OpenID Connect provider whose every part can be wrong.
type fakeProvider struct {
	url     string
	jwks    atomic.Pointer[[]byte]
	about   atomic.Pointer[string]
	fetches atomic.Int32
	block   chan struct{}
	status  atomic.Int32
}

func newProvider(t testing.TB, keys ...testKey) *fakeProvider {
	p := &fakeProvider{}
	p.use(keys...)
	p.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if p.block != nil {
			<-p.block
		}
		if s := p.status.Load(); s != 0 {
			w.Header().Set("Location", "/keys")
			w.WriteHeader(int(s))
			return
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			if about := p.about.Load(); about != nil {
				_, _ = fmt.Fprint(w, *about)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.url, "jwks_uri": p.url + "/keys"})
		case "/keys":
			p.fetches.Add(1)
			_, _ = w.Write(*p.jwks.Load())
		}
	})
	return p
}

func (p *fakeProvider) use(keys ...testKey) { raw := jwksOf(keys...); p.jwks.Store(&raw) }

func (p *fakeProvider) directory(t testing.TB) *hooked {
	source := oidcSource()
	source.OIDC.IssuerURL = p.url
	return hook(t, source)
}

// show exchanges a token of the provider, made of the change.
func (p *fakeProvider) show(t testing.TB, h *hooked, change func(*forged)) error {
	f := forgeID()
	now := h.clock.Now()
	f.payload["iss"], f.payload["iat"], f.payload["exp"] = p.url, now.Unix(), now.Unix()+60
	if change != nil {
		change(f)
	}
	_, err := h.Exchange(t.Context(), TypeIDToken, secret.NewText(f.token()), now)
	return err
}

func TestProviderKeys(t *testing.T) {
	all := testKeys()
	p := newProvider(t, all["rsa"])
	h := p.directory(t)
	if err := p.show(t, h, nil); err != nil || p.fetches.Load() != 1 {
		t.Fatalf("%v after %d fetches", err, p.fetches.Load())
	}
	stranger := func(i int) func(*forged) {
		return func(f *forged) { f.header["kid"] = fmt.Sprint("stranger-", i) }
	}
	// A thousand strangers in the ten seconds after a fetch make no other; each ten seconds they make one.
	for round := range 3 {
		for i := range 300 {
			if err := p.show(t, h, stranger(i)); DenialReason(err) != UnknownKey {
				t.Fatalf("a stranger: %v", err)
			}
		}
		if got := p.fetches.Load(); got != int32(round+1) {
			t.Errorf("round %d: %d fetches", round, got)
		}
		h.clock.advance(keysAgain)
	}
	// A rotation: the new key is found at its first token, the withdrawn one is refused.
	p.use(all["ec"])
	if err := p.show(t, h, func(f *forged) { f.signWith("ec", "ES256") }); err != nil {
		t.Errorf("a new key: %v", err)
	}
	h.clock.advance(keysAgain)
	if err := p.show(t, h, nil); DenialReason(err) != UnknownKey {
		t.Errorf("a withdrawn key: %v", err)
	}
	// The provider is down: what is known goes on for a day, what is not known is not judged.
	p.status.Store(500)
	h.clock.advance(keysAgain)
	if err := p.show(t, h, stranger(0)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown kid while the provider is down: %v", err)
	}
	if err := p.show(t, h, func(f *forged) { f.signWith("ec", "ES256") }); err != nil {
		t.Errorf("a known key while the provider is down: %v", err)
	}
	h.clock.advance(keysFor)
	if err := p.show(t, h, func(f *forged) { f.signWith("ec", "ES256") }); !errors.Is(err, ErrUnavailable) {
		t.Errorf("keys of the day before yesterday: %v", err)
	}
	p.status.Store(0)
	h.clock.advance(keysAgain)
	if err := p.show(t, h, func(f *forged) { f.signWith("ec", "ES256") }); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestProviderSingleFlight(t *testing.T) {
	p := newProvider(t, testKeys()["rsa"])
	p.block = make(chan struct{})
	h := p.directory(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	f := forgeID()
	f.payload["iss"] = p.url
	if _, err := h.Exchange(gone, TypeIDToken, secret.NewText(f.token()), testNow); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that went away: %v", err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := p.show(t, h, nil); err != nil {
				t.Error(err)
			}
		})
	}
	close(p.block)
	all.Wait()
	if p.fetches.Load() != 1 {
		t.Errorf("%d fetches", p.fetches.Load())
	}
}

func TestBadProviders(t *testing.T) {
	evil := newProvider(t, testKeys()["stranger"])
	private := testKeys()["rsa"].jwk()
	private["d"] = "AQAB"
	withPrivate, _ := json.Marshal(map[string]any{"keys": []any{private}})
	text := func(s string) func(*fakeProvider) { return func(p *fakeProvider) { p.about.Store(&s) } }
	keys := func(s string) func(*fakeProvider) {
		return func(p *fakeProvider) { raw := []byte(s); p.jwks.Store(&raw) }
	}
	for name, change := range map[string]func(*fakeProvider){
		"another issuer": text(`{"issuer":"` + evil.url + `","jwks_uri":"` + evil.url + `/keys"}`),
		"no jwks_uri":    func(p *fakeProvider) { s := `{"issuer":"` + p.url + `"}`; p.about.Store(&s) },
		"keys in clear text": func(p *fakeProvider) {
			s := `{"issuer":"` + p.url + `","jwks_uri":"http://192.0.2.1/k"}`
			p.about.Store(&s)
		},
		"keys in a file": func(p *fakeProvider) {
			s := `{"issuer":"` + p.url + `","jwks_uri":"file:///etc/passwd"}`
			p.about.Store(&s)
		},
		"a page":         text("<html>"),
		"huge discovery": text(`{"issuer":"` + strings.Repeat("x", maxKeyDocument)),
		"redirect":       func(p *fakeProvider) { p.status.Store(302) },
		"500":            func(p *fakeProvider) { p.status.Store(500) },
		"no keys":        keys(`{"keys":[]}`),
		"keys of a text": keys(`{"keys":"x"}`),
		"huge keys":      keys(`{"keys":[` + strings.Repeat(" ", maxKeyDocument) + `]}`),
		"many keys":      keys(`{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`),
		"private key":    keys(string(withPrivate)),
		"shared secret":  keys(`{"keys":[{"kty":"oct","k":"AAAA"}]}`),
		"small key":      keys(`{"keys":[{"kty":"RSA","kid":"rsa-1","n":"` + b64(make([]byte, 128)) + `","e":"AQAB"}]}`),
		"only for encryption": func(p *fakeProvider) {
			k := testKeys()["rsa"].jwk()
			k["use"] = "enc"
			raw, _ := json.Marshal(map[string]any{"keys": []any{k}})
			p.jwks.Store(&raw)
		},
	} {
		p := newProvider(t, testKeys()["rsa"])
		change(p)
		h := p.directory(t)
		if err := p.show(t, h, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		} else if strings.HasPrefix(name, "keys in ") && !strings.Contains(err.Error(), "jwks_uri") {
			t.Errorf("%s: it was asked: %v", name, err)
		}
	}
}

// Keys that are not for us stand beside ours without harm.
func TestMixedKeySet(t *testing.T) {
	good := testKeys()["rsa"].jwk()
	pinned := testKeys()["stranger"].jwk()
	pinned["kid"], pinned["alg"] = "ps-only", "PS256"
	raw, _ := json.Marshal(map[string]any{"keys": []any{
		good, pinned, map[string]any{"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "a"}, map[string]any{"kty": "OKP", "crv": "X25519", "x": "AA"},
		map[string]any{"kty": "RSA", "alg": "RSA-OAEP", "n": good["n"], "e": "AQAB", "kid": "b"}, map[string]any{"kty": "EC", "crv": "P-256", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))},
		map[string]any{"kty": "RSA", "n": good["n"], "e": "Aw", "kid": "three"}, 7, "x", nil,
	}})
	set, err := readKeySet(raw)
	if err != nil || len(set.keys) != 2 {
		t.Fatalf("%d keys, %v", len(set.keys), err)
	}
	for _, c := range []struct {
		kid, alg string
		want     int
	}{{"rsa-1", "RS256", 1}, {"rsa-1", "PS256", 1}, {"rsa-1", "ES256", 0}, {"ps-only", "PS256", 1}, {"ps-only", "RS256", 0}, {"", "RS256", 0}, {"b", "RS256", 0}} {
		if got := set.candidates(&subjectToken{kid: c.kid, alg: c.alg}); len(got) != c.want {
			t.Errorf("%q %s: %d candidates", c.kid, c.alg, len(got))
		}
	}
	one := &keySet{keys: set.keys[:1]}
	if len(one.candidates(&subjectToken{alg: "RS256"})) != 1 {
		t.Error("the only key needs no name")
	}
	if len((*keySet)(nil).candidates(&subjectToken{alg: "RS256"})) != 0 {
		t.Error("no keys, a candidate")
	}
}

// The keys are fetched before anybody asks, and again from time to time, a failure sooner.
func TestProviderRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		var fetched []time.Duration
		begun := time.Now()
		h := hook(t)
		p := openProvider(h.sources, "corp", "https://x")
		p.now = time.Now
		p.files = stubbed(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "openid-configuration") {
				fetched = append(fetched, time.Since(begun))
			}
			body := `{"issuer":"https://x","jwks_uri":"https://x/keys"}`
			if strings.HasSuffix(r.URL.Path, "/keys") {
				body = string(jwksOf(testKeys()["ec"]))
			}
			if fail.Load() {
				return nil, errors.New("down")
			}
			return recorded(body), nil
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.run(ctx) })
		pass(time.Second)
		synctest.Wait()
		fail.Store(true)
		pass(keysEvery + 2*keysAgain)
		synctest.Wait()
		fail.Store(false)
		pass(keysAgain)
		synctest.Wait()
		stop()
		running.Wait()
		want := []time.Duration{0, keysEvery, keysEvery + keysAgain, keysEvery + 2*keysAgain, keysEvery + 3*keysAgain}
		if fmt.Sprint(fetched) != fmt.Sprint(want) {
			t.Errorf("fetched at %v, want %v", fetched, want)
		}
	})
}
