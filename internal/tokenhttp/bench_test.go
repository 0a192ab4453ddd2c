package tokenhttp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"encoding/json"
	"log/slog"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
	"github.com/keyturn/keyturn/internal/token"
)

// A refresh ought to cost little more than its signature: compare the two figures of one run.
func BenchmarkRefresh(b *testing.B) {
	for _, algorithm := range []token.Algorithm{token.RS256, token.ES256} {
		key, err := token.Generate(algorithm, 2048)
		if err != nil {
			b.Fatal(err)
		}
		doc, err := build(issuerDocument(b, key), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(algorithm)+"/signature", func(b *testing.B) {
			m := mint{now: start, expires: start.Add(time.Minute), doc: doc}
			s := &Service{Config: Config{Log: slog.New(slog.DiscardHandler)}}
			for b.Loop() {
				if _, p := s.sign(m, identity.User{Subject: "alice", Role: "admin"}, "1.AAAAAAAAAAAAAAAAAAAAAA"); p != nil {
					b.Fatal(p)
				}
			}
		})
		b.Run(string(algorithm)+"/refresh", func(b *testing.B) { benchmarkRefresh(b, doc) })
	}
}

func benchmarkRefresh(b *testing.B, doc *Document) {
	sessions, err := embedded.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer sessions.Close() //nolint:errcheck // a benchmark
	service := New(Config{
		Document: func() *Document { return doc }, Refused: func() *snapshot.Refusal { return nil }, Families: sessions, Sessions: sessions, Limiter: sessions, Acquaintances: sessions,
		Edges: feed.NewLeases(func() time.Duration { return time.Second }, time.Now), Hasher: identity.NewHasher(1, 1), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	handler := service.Public()
	created, err := sessions.Create(b.Context(), store.NewFamily{Owner: store.Owner{Subject: "alice", Name: "alice", Source: "staff"}, Now: time.Now(), Limits: doc.limits()})
	if err != nil {
		b.Fatal(err)
	}
	text := created.Token.Text().Reveal()
	for b.Loop() {
		request := httptest.NewRequest(http.MethodPost, "/auth/refresh", strings.NewReader(`{"refresh_token":"`+text+`"}`))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		var answer struct {
			RefreshToken string `json:"refresh_token"`
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.RefreshToken == "" {
			b.Fatal(recorder.Code, recorder.Body)
		}
		text = answer.RefreshToken
	}
}
