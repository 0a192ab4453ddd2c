package legacy

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestRevokerAnswers(t *testing.T) {
	for _, test := range []struct {
		name, kind, body string
		status           int
		err              error
		headers          []string
	}{
		{"200", "", "", 200, nil, nil},
		{"200 with a page", "text/html", "<p>bye", 200, nil, nil},
		{"204", "", "", 204, nil, nil},
		{"404", "", "", 404, nil, nil},
		{"410 in JSON", jsonType, "{}", 410, nil, nil},
		{"a proxy's 404", "text/html", "<h1>404", 404, ErrUnavailable, nil},
		{"202", "", "", 202, ErrUnavailable, nil},
		{"302", "", "", 302, ErrUnavailable, []string{"Location", "/login"}},
		{"401", "", "", 401, ErrUnavailable, nil},
		{"403", "", "", 403, ErrUnavailable, nil},
		{"500", "", "", 500, ErrUnavailable, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := byHTTP("http://localhost:1")
			config.Revoker = &snapshot.LegacyRevoker{HTTP: &snapshot.LegacyWebhook{URL: serve(t, answering(test.status, test.kind, test.body, test.headers...))}}
			s := newWorld(t).source(t, config)
			refusal(t, s.Revoke(t.Context(), text(canary)), test.err, canary)
			refusal(t, s.RevokeUser(t.Context(), "shop:4711"), test.err)
		})
	}
}

func TestRevokerQuestions(t *testing.T) {
	var asked []string
	config := byHTTP("http://localhost:1")
	config.Revoker = &snapshot.LegacyRevoker{HTTP: &snapshot.LegacyWebhook{URL: serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body))
	})}}
	s := newWorld(t).source(t, config)
	for _, err := range []error{
		s.Revoke(t.Context(), text("s%3Aabc")), s.RevokeUser(t.Context(), "shop:4711"),
		s.Revoke(t.Context(), text("a\nb")), s.RevokeUser(t.Context(), "staff:4711"), s.RevokeUser(t.Context(), "shop:"), // none of the application's
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{`{"session":"s%3Aabc"}`, `{"user_id":"4711"}`}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %s", asked)
	}
	none := newWorld(t).source(t, byHTTP("http://localhost:1"))
	if err := none.Revoke(t.Context(), text("a")); err != nil {
		t.Errorf("without a revoker: %v", err)
	}
}

func TestRedisRevoker(t *testing.T) {
	server := realRedis(t)
	c := client(t, server)
	ctx := t.Context()
	config := byRedis(express(server.Address()))
	redis := express(server.Address())
	config.Revoker = &snapshot.LegacyRevoker{Redis: &redis}
	w := newWorld(t)
	w.file(t, "validator/secret", "keyboard cat")
	s := w.source(t, config)
	cookie := func(id string) string { return legacyapp.SignedCookie(id, "keyboard cat") }
	document := func(user string) string { return `{"passport":{"user":{"id":"` + user + `"}}}` }
	refusal(t, s.Revoke(ctx, text(cookie("a"))), ErrUnavailable) // it cannot read cookies without the secret
	w.file(t, "revoker/secret", "keyboard cat")
	w.clock.advance(time.Minute)
	for i := range 1000 {
		must(t, c.Set(ctx, fmt.Sprint("sess:a", i), document("4711"), time.Hour).Err())
		member := fmt.Sprint("a", i)
		if i%2 == 0 {
			member = `"` + member + `"` // as Spring Session writes it
		}
		must(t, c.SAdd(ctx, "user-sessions:4711", member).Err())
	}
	must(t, c.Set(ctx, "sess:b", document("4712"), time.Hour).Err())
	validate := func(id string, want error) {
		t.Helper()
		_, err := s.Validate(ctx, text(cookie(id)))
		refusal(t, err, want)
	}
	for _, id := range []string{"a0", "a1", "a2", "b"} {
		validate(id, nil)
	}
	must(t, s.Revoke(ctx, text(cookie("a0"))))
	validate("a0", ErrInvalid) // at once
	validate("a1", nil)
	must(t, s.Revoke(ctx, text(cookie("a0")))) // again
	must(t, s.Revoke(ctx, text("garbage")))
	must(t, s.RevokeUser(ctx, "shop:4711"))
	validate("a1", ErrInvalid)
	validate("a2", ErrInvalid)
	validate("b", nil)
	if keys, err := c.Keys(ctx, "*").Result(); err != nil || !reflect.DeepEqual(keys, []string{"sess:b"}) {
		t.Errorf("left over: %v, %v", keys, err)
	}
	must(t, s.RevokeUser(ctx, "shop:nobody"))
	must(t, c.Set(ctx, "user-sessions:odd", "x", 0).Err())
	refusal(t, s.RevokeUser(ctx, "shop:odd"), ErrUnavailable)
	server.Kill()
	refusal(t, s.Revoke(ctx, text(cookie("b"))), ErrUnavailable)
	refusal(t, s.RevokeUser(ctx, "shop:4712"), ErrUnavailable)
	if strings.Contains(w.log.String(), "keyboard") {
		t.Error(w.log)
	}
}

// A store without an index of users: the caller's list of revoked users is what refuses them.
func TestRedisRevokerWithoutIndex(t *testing.T) {
	redis := express("localhost:1")
	redis.UserIndex = ""
	config := byHTTP("http://localhost:1")
	config.Revoker = &snapshot.LegacyRevoker{Redis: &redis}
	must(t, newWorld(t).source(t, config).RevokeUser(t.Context(), "shop:4711"))
}
