package legacy

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// login logs in at the application itself, as users do before the migration.
func login(t testing.TB, app *legacyapp.Application, body string) (string, int) {
	t.Helper()
	response, err := http.Post(app.URL()+"/legacy/login", jsonType, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	for _, c := range response.Cookies() {
		if c.Name == legacyapp.Cookie {
			return c.Value, response.StatusCode
		}
	}
	return "", response.StatusCode
}

// TestSampleApplication does with the sample application what Keyturn does: by its endpoints, and by its store.
func TestSampleApplication(t *testing.T) {
	server := realRedis(t)
	app, err := legacyapp.Start("", legacyapp.Options{Redis: server.Address(), Secret: "keyboard cat", Token: "s3cr3t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Stop)
	hook := func(path string) *snapshot.LegacyWebhook { return &snapshot.LegacyWebhook{URL: app.URL() + path} }
	redis := express(server.Address())
	for name, config := range map[string]snapshot.Legacy{
		"HTTP":  {Validator: snapshot.LegacyValidator{HTTP: hook("/legacy/introspect")}, Revoker: &snapshot.LegacyRevoker{HTTP: hook("/legacy/revoke")}},
		"Redis": {Validator: snapshot.LegacyValidator{Redis: &redis}, Revoker: &snapshot.LegacyRevoker{Redis: &redis}},
	} {
		t.Run(name, func(t *testing.T) {
			config.SubjectPrefix, config.Issuer = "shop:", hook("/legacy/sessions")
			w := newWorld(t)
			for _, part := range []string{"validator", "issuer", "revoker"} {
				w.file(t, part+"/token", "s3cr3t")
				w.file(t, part+"/secret", "keyboard cat")
			}
			s := w.source(t, config)
			validate := func(cookie secret.Text, user, role string, want error) Session {
				t.Helper()
				got, err := s.Validate(t.Context(), cookie)
				refusal(t, err, want, cookie.Reveal())
				if got.User != user || got.Role != role || err == nil && time.Until(got.Expires) < 29*time.Minute {
					t.Errorf("%+v", got)
				}
				return got
			}
			value, status := login(t, app, `{"username":"alice","password":"wonderland"}`)
			if status != 200 {
				t.Fatalf("login: %d", status)
			}
			if _, status := login(t, app, `{"username":"alice","password":"x"}`); status != 401 {
				t.Errorf("a wrong password: %d", status)
			}
			alice := text(value)
			validate(alice, "shop:4711", "admin", nil)
			validate(text(value[:len(value)-1]+"x"), "", "", ErrInvalid)

			extended, err := s.Extend(t.Context(), alice)
			if err != nil || len(extended.Cookies) != 1 || extended.Cookies[0].Value != value || extended.Session.User != "shop:4711" {
				t.Fatalf("extend: %+v, %v", extended, err)
			}
			issued, err := s.Issue(t.Context(), User{Subject: "shop:4711", Name: "alice", Role: "admin"})
			if err != nil || len(issued.Cookies) != 1 || !strings.HasPrefix(issued.Cookies[0].Raw, "connect.sid=s%3A") {
				t.Fatalf("issue: %+v, %v", issued, err)
			}
			second := text(issued.Cookies[0].Value)
			validate(second, "shop:4711", "admin", nil)
			other, _ := login(t, app, `{"username":"bob","password":"builder"}`)
			bob := text(other)
			validate(bob, "shop:4712", "user", nil)

			must(t, s.Revoke(t.Context(), alice))
			validate(alice, "", "", ErrInvalid)
			if _, err := s.Extend(t.Context(), alice); err == nil {
				t.Error("a session that was ended is extended")
			}
			validate(second, "shop:4711", "admin", nil)
			must(t, s.RevokeUser(t.Context(), "shop:4711"))
			validate(second, "", "", ErrInvalid)
			validate(bob, "shop:4712", "user", nil)
			for _, secret := range []string{value, second.Reveal(), "s3cr3t", "keyboard"} {
				if strings.Contains(w.log.String(), secret) {
					t.Error(w.log)
				}
			}

			w.file(t, "issuer/token", "another")
			w.clock.advance(time.Minute)
			_, err = s.Issue(t.Context(), User{Subject: "shop:4711"})
			refusal(t, err, ErrUnavailable)
		})
	}
	// The application without its store says that it cannot say.
	server.Kill()
	w := newWorld(t)
	w.file(t, "validator/token", "s3cr3t")
	_, err = w.source(t, byHTTP(app.URL()+"/legacy/introspect")).Validate(t.Context(), text(legacyapp.SignedCookie("x", "keyboard cat")))
	refusal(t, err, ErrUnavailable)
	if app.Count("POST /legacy/introspect") == 0 || app.Count("POST /legacy/sessions") == 0 {
		t.Error("the application counts nothing")
	}
}
