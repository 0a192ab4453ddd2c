package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// oldApplication answers for the sessions "good" of the user 4711.
func oldApplication(t *testing.T, revoked *atomic.Int32) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Session string `json:"session"`
		}
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &asked)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/revoke":
			revoked.Add(1)
			w.WriteHeader(http.StatusNoContent)
		case asked.Session == "good":
			_, _ = io.WriteString(w, `{"active":true,"user_id":"4711","role":"member"}`)
		default:
			_, _ = io.WriteString(w, `{"active":false}`)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The process reaches the application that has the sessions, answers edges about them, and ends them.
func TestLegacySessions(t *testing.T) {
	dir, key := t.TempDir(), must(token.Generate(token.ES256, 0))
	path := filepath.Join(dir, "snapshot")
	writeSnapshot(t, path, key)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := snapshot.DecodeIssuer(raw)
	if err != nil {
		t.Fatal(err)
	}
	var revoked atomic.Int32
	app := oldApplication(t, &revoked)
	doc.Identity[0].SubjectPrefix = "staff:" // or it could have a user of the same name as the application
	doc.Rollout = &snapshot.Rollout{Name: "shop/walk", Cookie: "sid", Salt: "salt", Percent: 100, Watched: 100, MaxSessionLife: snapshot.Duration(time.Hour)}
	doc.Legacy = &snapshot.Legacy{SubjectPrefix: "shop:", Validator: snapshot.LegacyValidator{HTTP: &snapshot.LegacyWebhook{URL: app + "/introspect"}},
		Revoker: &snapshot.LegacyRevoker{HTTP: &snapshot.LegacyWebhook{URL: app + "/revoke"}}}
	if err := os.WriteFile(path, must(snapshot.EncodeIssuer(doc)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir)
	p.until("ready", p.ready)

	address := p.feed
	edge, err := feed.NewClient(feed.ClientConfig{Edge: "edge-0", Log: slog.New(slog.DiscardHandler), Now: time.Now, Target: func() (feed.Target, bool) {
		return feed.Target{FeedAddress: snapshot.FeedAddress{Address: address}, MaxPropagation: maxPropagation}, true
	}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = edge.Run(t.Context()) }()
	p.until("the edge loaded", func() bool { return edge.Status().Loaded })
	ask := func(session string) (answer feed.SessionAnswer) {
		t.Helper()
		p.until("an answer about "+session, func() bool { // in time, which a busy machine may take
			answer, err = edge.Ask(t.Context(), secret.NewText(session))
			return err == nil
		})
		return answer
	}
	if answer := ask("good"); !answer.Valid || answer.User != "shop:4711" || answer.Role != "member" {
		t.Errorf("%+v", answer)
	}
	if answer := ask("bad"); answer.Valid {
		t.Errorf("%+v", answer)
	}

	code, body := p.postSession("/auth/session/exchange", "good")
	if code != http.StatusOK || !strings.HasPrefix(body["refresh_token"], "ktr_") {
		t.Errorf("exchange: %d %v", code, body)
	}
	if code, body := p.postSession("/auth/session/exchange", "bad"); code != http.StatusUnauthorized || body["code"] != "legacy_session_invalid" {
		t.Errorf("exchange of a bad session: %d %v", code, body)
	}
	if code, body := p.postSession("/auth/logout", "good"); code != http.StatusOK || revoked.Load() != 1 {
		t.Errorf("logout: %d %v, revoked %d times", code, body, revoked.Load())
	}
	if !edge.List().Revoked(revocation.Credential{Legacy: revocation.LegacyHash("good")}) {
		t.Error("logout answered before the edge had it")
	}
	// The application goes on to call it good; nobody here does.
	p.until("the session is refused", func() bool {
		code, _ := p.postSession("/auth/session/exchange", "good")
		return code == http.StatusUnauthorized
	})
	if answer := ask("good"); answer.Valid {
		t.Errorf("after the logout: %+v", answer)
	}
}

// A document whose legacy sessions cannot be reached by anything is refused, and the process goes on.
func TestBadLegacySource(t *testing.T) {
	p := &parts{}
	if source, err := p.openLegacy("no name", snapshot.Legacy{}); err == nil || source != nil {
		t.Errorf("%v, %v", source, err)
	}
}

// postSession shows a legacy session as a browser does.
func (p *process) postSession(path, sid string) (int, map[string]string) {
	p.Helper()
	request := must(http.NewRequestWithContext(p.Context(), http.MethodPost, "http://"+p.public+path, nil))
	request.Header.Set("Cookie", "sid="+sid)
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	raw := map[string]any{}
	_ = json.NewDecoder(response.Body).Decode(&raw)
	body := map[string]string{}
	for name, value := range raw {
		body[name], _ = value.(string)
	}
	return response.StatusCode, body
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
