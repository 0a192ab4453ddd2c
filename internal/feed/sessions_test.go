package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// sessionsFunc answers questions by a function.
type sessionsFunc func(context.Context, string) (SessionAnswer, error)

func (f sessionsFunc) Ask(ctx context.Context, cookie secret.Text) (SessionAnswer, error) {
	return f(ctx, cookie.Reveal())
}

const canary = "canary-cookie-4711"

func answerByCookie(ctx context.Context, cookie string) (SessionAnswer, error) {
	switch cookie {
	case "good", canary, `a<>&'`:
		return SessionAnswer{Valid: true, User: "shop:ann", Role: "admin", Claims: map[string]string{"tier": "gold"}, Expires: time.Unix(2e9, 0).UTC()}, nil
	case "fresh":
		return SessionAnswer{Valid: true, User: map[bool]string{true: "fresh", false: "cached"}[Fresh(ctx)]}, nil
	case "over":
		return SessionAnswer{User: "shop:bob"}, nil
	case "none":
		return SessionAnswer{}, ErrNoSessions
	case "huge":
		return SessionAnswer{Valid: true, User: strings.Repeat("u", maxAnswer)}, nil
	}
	return SessionAnswer{}, errors.New("the validator is down: " + cookie)
}

func TestAsk(t *testing.T) {
	for _, private := range []bool{false, true} {
		dir, clientDir := "", ""
		if private {
			dir, clientDir = t.TempDir(), t.TempDir()
			certify(t, dir, clientDir)
			write(t, "0123456789abcdef-token", filepath.Join(dir, tokenFile), filepath.Join(clientDir, tokenFile))
		}
		r := &rig{T: t, log: &memory{}, dir: dir, leases: newLeases(), sessions: sessionsFunc(answerByCookie)}
		r.serve("127.0.0.1:0")
		c, _ := r.client("a", clientDir, nil)
		if _, err := c.Ask(t.Context(), secret.NewText("good")); !c.Status().Loaded && !errors.Is(err, ErrSessionsUnavailable) {
			t.Errorf("before the feed is connected: %v", err)
		}
		until(t, "loaded", func() bool { return c.Status().Loaded })
		for cookie, want := range map[string]SessionAnswer{
			"good":  {Valid: true, User: "shop:ann", Role: "admin", Claims: map[string]string{"tier": "gold"}, Expires: time.Unix(2e9, 0).UTC()},
			`a<>&'`: {Valid: true, User: "shop:ann", Role: "admin", Claims: map[string]string{"tier": "gold"}, Expires: time.Unix(2e9, 0).UTC()},
			"fresh": {Valid: true, User: "cached"}, "over": {},
		} {
			got, err := c.Ask(t.Context(), secret.NewText(cookie))
			if err != nil || got.Valid != want.Valid || got.User != want.User || got.Role != want.Role || got.Claims["tier"] != want.Claims["tier"] || !got.Expires.Equal(want.Expires) {
				t.Errorf("%s: %+v %v", cookie, got, err)
			}
		}
		if got, err := c.Ask(WithFresh(t.Context()), secret.NewText("fresh")); err != nil || got.User != "fresh" {
			t.Errorf("asked for a fresh answer: %+v %v", got, err)
		}
		for range 2 * askBreakAfter { // what one session's question does opens no breaker
			for _, cookie := range []string{"down", "none", "huge", "", strings.Repeat("x", MaxSessionCookie+1)} {
				if got, err := c.Ask(t.Context(), secret.NewText(cookie)); !errors.Is(err, ErrSessionsUnavailable) || got.Valid {
					t.Fatalf("%.10s: %+v %v", cookie, got, err)
				}
			}
		}
		if got, err := c.Ask(t.Context(), secret.NewText("good")); err != nil || !got.Valid {
			t.Errorf("afterwards: %+v %v", got, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 2 * askBreakAfter { // nor do askers that go away
			if _, err := c.Ask(gone, secret.NewText("good")); !errors.Is(err, ErrSessionsUnavailable) {
				t.Fatal(err)
			}
		}
		if _, err := c.Ask(t.Context(), secret.NewText("good")); err != nil {
			t.Errorf("after askers that left: %v", err)
		}
		r.stop()
		until(t, "disconnected", func() bool { return c.current.Load() == nil })
		begun := time.Now()
		for range 10_000 { // of which each could take AskWithin
			if _, err := c.Ask(t.Context(), secret.NewText("good")); !errors.Is(err, ErrSessionsUnavailable) {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("10,000 questions to a dead token service took %s", took)
		}
	}
}

// A token service that takes questions and answers none is asked a few times, and then left alone; later it is tried again.
func TestAskBreaks(t *testing.T) {
	var asked atomic.Int64
	release := make(chan struct{})
	r := &rig{T: t, log: &memory{}, leases: newLeases(),
		sessions: sessionsFunc(func(ctx context.Context, _ string) (SessionAnswer, error) {
			asked.Add(1)
			select {
			case <-release:
				return SessionAnswer{Valid: true, User: "ann"}, nil
			case <-ctx.Done():
				return SessionAnswer{}, ctx.Err()
			}
		})}
	r.serve("127.0.0.1:0")
	c, _ := r.client("a", "", nil)
	until(t, "loaded", func() bool { return c.Status().Loaded })
	begun := time.Now()
	var all sync.WaitGroup
	for range askBreakAfter {
		all.Go(func() {
			if _, err := c.Ask(context.Background(), secret.NewText("x")); !errors.Is(err, ErrSessionsUnavailable) {
				t.Errorf("no answer, and %v", err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took < AskWithin || took > AskWithin+time.Second { // at once, not one after the other
		t.Errorf("given up after %s", took)
	}
	for range 1000 {
		if _, err := c.Ask(t.Context(), secret.NewText("x")); !errors.Is(err, ErrSessionsUnavailable) {
			t.Fatal(err)
		}
	}
	// One more question for each time that it was left alone: on a busy machine a thousand refusals may outlast one.
	tried := int64((time.Since(begun) - AskWithin) / askBreakFor)
	if n := asked.Load(); n == 0 || n > askBreakAfter+tried {
		t.Errorf("asked %d times in %s", n, time.Since(begun))
	}
	close(release)
	until(t, "asked again", func() bool {
		_, err := c.Ask(t.Context(), secret.NewText("x"))
		return err == nil
	})
	if !c.Status().Loaded || c.Status().Stale {
		t.Error("the revocations suffered")
	}
}

// What comes back from a server that does not do what it should.
func TestAskALiar(t *testing.T) {
	var body atomic.Value
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	mux := http.NewServeMux()
	real := NewServer(ServerConfig{Source: &memory{}, Leases: newLeases(), Logger: quiet()}).Handler()
	mux.Handle("/", real)
	mux.HandleFunc("POST "+SessionPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body.Load().(string))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer server.Close() //nolint:errcheck // the test is over
	r := &rig{T: t, address: listener.Addr().String()}
	c, _ := r.client("a", "", func() (Target, bool) {
		return Target{FeedAddress: snapshot.FeedAddress{Address: r.address}, MaxPropagation: leaseLength}, true
	})
	until(t, "loaded", func() bool { return c.Status().Loaded })
	for answer, good := range map[string]bool{
		"": false, "null": false, "{}": false, "[]": false, `{"valid":"true"}`: false, `{"valid":1,"user":"ann"}`: false, `{"user":"ann"}`: false, "<html>": false,
		`{"valid":true,"user":"` + strings.Repeat("a", maxAnswer) + `"}`: false, `{"valid":true,"user":"ann"} trailing`: false,
		`{"valid":true,"user":"ann","claims":{"a":1}}`: false, `{"valid":true,"user":"ann"}`: true,
	} {
		body.Store(answer)
		got, err := c.Ask(t.Context(), secret.NewText("x"))
		if good != (err == nil && got.Valid && got.User == "ann") || !good && !errors.Is(err, ErrSessionsUnavailable) {
			t.Errorf("%.40s: %+v %v", answer, got, err)
		}
	}
}

func TestSessionsEndpoint(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	leases := NewLeases(func() time.Duration { return time.Second }, time.Now)
	handler := NewServer(ServerConfig{Source: &memory{}, Leases: leases, Logger: logger, Sessions: sessionsFunc(answerByCookie)}).Handler()
	post := func(h http.Handler, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, SessionPath, strings.NewReader(body)))
		return w
	}
	for body, want := range map[string]int{
		`{"cookie":"` + canary + `"}`: 200, `{"cookie":"over"}`: 200, `{"cookie":"none"}`: 404, `{"cookie":"` + canary + `x"}`: 503,
		"": 400, "{": 400, "{}": 400, `{"cookie":""}`: 400, `{"cookie":7}`: 400, `{"cookie":"` + canary + `","x":1}`: 400, `"` + canary + `"`: 400,
		`{"cookie":"` + strings.Repeat("x", MaxSessionCookie+1) + `"}`: 400, `{"cookie":"` + strings.Repeat("x", 1<<20) + `"}`: 400, `{"cookie":"huge"}`: 503,
	} {
		w := post(handler, body)
		if w.Code != want || strings.Contains(w.Body.String(), canary) {
			t.Errorf("%.60s: %d %s", body, w.Code, w.Body)
		}
	}
	var over map[string]any
	if err := json.Unmarshal(post(handler, `{"cookie":"over"}`).Body.Bytes(), &over); err != nil || len(over) != 1 || over["valid"] != false {
		t.Errorf("a session that is over: %v %v", over, err)
	}
	if strings.Contains(log.String(), canary) {
		t.Error("the log holds a cookie")
	}
	none := NewServer(ServerConfig{Source: &memory{}, Leases: leases, Logger: logger}).Handler()
	if w := post(none, `{"cookie":"good"}`); w.Code != 404 {
		t.Errorf("without legacy sessions: %d", w.Code)
	}
	closed := NewServer(ServerConfig{Source: &memory{}, Leases: leases, Logger: logger, Dir: t.TempDir(), Sessions: sessionsFunc(answerByCookie)}).Handler()
	if w := post(closed, `{"cookie":"good"}`); w.Code != 401 {
		t.Errorf("without the secret: %d", w.Code)
	}
	busy := NewServer(ServerConfig{Source: &memory{}, Leases: leases, Logger: logger, Sessions: sessionsFunc(answerByCookie)})
	busy.questions.Store(maxQuestions)
	if w := post(busy.Handler(), `{"cookie":"good"}`); w.Code != 503 || busy.questions.Load() != maxQuestions {
		t.Errorf("one question too many: %d", w.Code)
	}
}
