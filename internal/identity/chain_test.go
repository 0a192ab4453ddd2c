package identity

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

// The first source that knows the name decides; one that fails is never skipped.
func TestChain(t *testing.T) {
	list := htpasswdSource("list", "l:", "alice:"+bcryptOf(t, "of list"), "alice: admin")
	var asked []string
	ask := serve(t, func(w http.ResponseWriter, r *http.Request) {
		raw := make([]byte, 100)
		n, _ := r.Body.Read(raw)
		asked = append(asked, string(raw[:n]))
		switch body := string(raw[:n]); {
		case strings.Contains(body, "broken"):
			w.WriteHeader(500)
		case !strings.Contains(body, "alice") && !strings.Contains(body, "bob"):
			answering(404, "", "")(w, r)
		case !strings.Contains(body, "of hook"):
			w.WriteHeader(401)
		default:
			answering(200, jsonType, `{"user_id":"7"}`)(w, r)
		}
	})
	app := webhookSource("app", ask)
	down := snapshot.IdentitySource{Name: "down", SubjectPrefix: "d:", Htpasswd: &snapshot.Htpasswd{}}
	after := htpasswdSource("after", "z:", "carol:"+bcryptOf(t, "of after")+"\nbroken:"+bcryptOf(t, "x"), "")
	for _, test := range []struct {
		name     string
		sources  []snapshot.IdentitySource
		user     string
		password string
		subject  string
		err      error
		asked    int
	}{
		{"the list first: it knows her", []snapshot.IdentitySource{list, app}, "alice", "of list", "l:alice", nil, 0},
		{"the list first: her password elsewhere is wrong, and goes nowhere", []snapshot.IdentitySource{list, app}, "alice", "of hook", "", ErrDenied, 0},
		{"the webhook first: it knows her", []snapshot.IdentitySource{app, list}, "alice", "of hook", "app:7", nil, 1},
		{"the webhook first: her password elsewhere is wrong", []snapshot.IdentitySource{app, list}, "alice", "of list", "", ErrDenied, 1},
		{"the list does not know him", []snapshot.IdentitySource{list, app}, "bob", "of hook", "app:7", nil, 1},
		{"the webhook does not know her", []snapshot.IdentitySource{list, app, after}, "carol", "of after", "z:carol", nil, 1},
		{"nobody knows him", []snapshot.IdentitySource{list, app, after}, "dave", "x", "", ErrDenied, 1},
		{"a failing webhook is not skipped", []snapshot.IdentitySource{app, after}, "broken", "x", "", ErrUnavailable, 1},
		{"a missing list is not skipped", []snapshot.IdentitySource{down, app, after}, "carol", "of after", "", ErrUnavailable, 0},
		{"what comes later may fail", []snapshot.IdentitySource{list, down}, "alice", "of list", "l:alice", nil, 0},
		{"providers know no names", []snapshot.IdentitySource{oidcSource(), clusterSource(testKeys()["rsa"]), after}, "carol", "of after", "z:carol", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked = nil
			user, err := hook(t, test.sources...).Authenticate(t.Context(), test.user, secret.NewText(test.password))
			if !errors.Is(err, test.err) || user.Subject != test.subject || len(asked) != test.asked {
				t.Errorf("%+v, %v, asked %q", user, err, asked)
			}
			if test.err != nil && !errors.Is(err, ErrDenied) && !strings.Contains(err.Error(), test.sources[0].Name) {
				t.Errorf("the error does not name the source: %v", err)
			}
		})
	}
}

// A webhook without lookupURL is asked at no refresh: the session goes on with what it was given.
func TestRemembered(t *testing.T) {
	source := webhookSource("app", serve(t, answering(200, jsonType, `{"user_id":"7","role":"admin","claims":{"team":"blue"}}`)))
	source.Webhook.LookupURL = ""
	h := hook(t, source)
	user, err := h.Authenticate(t.Context(), "alice", secret.NewText("x"))
	if err != nil || !user.Remembered || !user.Refreshable {
		t.Fatalf("%+v, %v", user, err)
	}
	got, err := h.Lookup(t.Context(), User{Subject: "app:7", Name: "7", Source: "app", Role: user.Role, Claims: user.Claims})
	if err != nil || got.Role != "admin" || got.Claims["team"] != "blue" || !got.Remembered {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := hook(t, webhookSource("other", "https://x")).Lookup(t.Context(), got); !errors.Is(err, ErrGone) {
		t.Errorf("the source is not there any more: %v", err)
	}
	moved := source
	moved.SubjectPrefix = "new:"
	if _, err := hook(t, moved).Lookup(t.Context(), got); !errors.Is(err, ErrGone) {
		t.Errorf("its users are others now: %v", err)
	}
}

func TestSameIssuerTwice(t *testing.T) {
	one, two := oidcSource(), oidcSource()
	two.Name, two.SubjectPrefix = "two", "two:"
	sources := NewSources(t.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	if _, err := New(ourIssuer, []snapshot.IdentitySource{one, two}, sources, nil); err == nil || !strings.Contains(err.Error(), "same issuer") {
		t.Errorf("two sources of one issuer: %v", err)
	}
	for name, change := range map[string]func(*snapshot.IdentitySource){
		"no audience of ours":   nil,
		"no issuer":             func(s *snapshot.IdentitySource) { s.Kubernetes.Issuer = "" },
		"no keys":               func(s *snapshot.IdentitySource) { s.Kubernetes.JWKS = []byte(`{"keys":[]}`) },
		"keys that are none":    func(s *snapshot.IdentitySource) { s.Kubernetes.JWKS = []byte(`[]`) },
		"account of everything": func(s *snapshot.IdentitySource) { s.Kubernetes.Accounts = []snapshot.ServiceAccount{{Name: "x"}} },
		"account with a glob":   func(s *snapshot.IdentitySource) { s.Kubernetes.Accounts = []snapshot.ServiceAccount{{Namespace: "*"}} },
		"role with a space":     func(s *snapshot.IdentitySource) { s.Kubernetes.Accounts[0].Role = "a b" },
	} {
		source, issuer := clusterSource(testKeys()["rsa"]), ourIssuer
		if change == nil {
			issuer = ""
		} else {
			change(&source)
		}
		if _, err := New(issuer, []snapshot.IdentitySource{source}, nil, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(*snapshot.OIDC){
		"no client":     func(o *snapshot.OIDC) { o.ClientID = "" },
		"clear text":    func(o *snapshot.OIDC) { o.IssuerURL = "http://login.example.test" },
		"query":         func(o *snapshot.OIDC) { o.IssuerURL += "?x=y" },
		"subject claim": func(o *snapshot.OIDC) { o.SubjectClaim = "a b" },
		"role claim":    func(o *snapshot.OIDC) { o.RoleClaim = "a.b c" },
	} {
		source := oidcSource()
		change(source.OIDC)
		if _, err := New(ourIssuer, []snapshot.IdentitySource{source}, sources, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What an unchanged source has learnt is there in the next directory; what nobody uses ends.
func TestLiveStateOutlivesASnapshot(t *testing.T) {
	sources := NewSources(t.TempDir(), slog.New(slog.DiscardHandler), func() time.Time { return testNow })
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = sources.Run(ctx) })
	defer running.Wait()
	defer stop()
	build := func(configured ...snapshot.IdentitySource) *Directory {
		t.Helper()
		d, err := New(ourIssuer, configured, sources, NewHasher(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	app, list, corp := webhookSource("app", "http://localhost:1"), snapshot.IdentitySource{Name: "list", SubjectPrefix: "l:", Htpasswd: &snapshot.Htpasswd{}}, oidcSource()
	corp.OIDC.IssuerURL = "http://localhost:1"
	first := build(app, list, corp)
	hookOf := func(d *Directory, i int) *application { return d.entries[i].source.(*application) }
	for range webhook.BreakAfter {
		if _, err := first.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	corp.OIDC.ClientID = "another" // the keys do not depend on it
	second := build(corp, app, list)
	if hookOf(first, 0) != hookOf(second, 1) || first.entries[2].source.(*openID).provider != second.entries[0].source.(*openID).provider {
		t.Error("the next snapshot began anew")
	}
	if _, err := second.Authenticate(t.Context(), "alice", secret.NewText("x")); err == nil || !strings.Contains(err.Error(), "in a row") {
		t.Errorf("the breaker forgot: %v", err)
	}
	if len(sources.open) != 3 {
		t.Errorf("%d things are kept", len(sources.open))
	}
	// A directory that is not built changes nothing.
	if _, err := New(ourIssuer, []snapshot.IdentitySource{webhookSource("fresh", "https://x"), {Name: "bad"}}, sources, nil); err == nil {
		t.Fatal("accepted")
	}
	if len(sources.open) != 3 {
		t.Errorf("%d things are kept after a refused one", len(sources.open))
	}
	app.Webhook.Timeout = snapshot.Duration(time.Second)
	third := build(app)
	if hookOf(third, 0) == hookOf(first, 0) {
		t.Error("another configuration, the same connections")
	}
	if len(sources.open) != 1 {
		t.Errorf("%d things are kept", len(sources.open))
	}
}

// A wrong password at a webhook stays one when the hash that hides its haste cannot be computed: it must count.
func TestDeniedAndBusy(t *testing.T) {
	h := hook(t, webhookSource("app", serve(t, answering(401, jsonType, "{}"))), htpasswdSource("staff", "staff:", "bob:"+bcryptOf(t, "x"), ""))
	h.hasher = NewHasher(1, 0)
	h.hasher.slots <- struct{}{}
	_, err := h.Authenticate(t.Context(), "alice", secret.NewText("wrong"))
	if !errors.Is(err, ErrBusy) || !errors.Is(err, ErrDenied) {
		t.Errorf("%v, want busy and denied", err)
	}
}
