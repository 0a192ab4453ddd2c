package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func slogTo(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// counting is an application whose answer a test changes.
type counting struct {
	asked  atomic.Int32
	mu     sync.Mutex
	answer string
}

func (c *counting) say(answer string) { c.mu.Lock(); defer c.mu.Unlock(); c.answer = answer }

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	status := 200
	if answer == "" {
		status = 500
	}
	answering(status, jsonType, answer)(w, r)
}

const (
	isAlice = `{"active":true,"user_id":"alice","claims":{"a":"b"}}`
	isNone  = `{"active":false}`
)

func TestCacheRemembers(t *testing.T) {
	w, app := newWorld(t), &counting{answer: isAlice}
	s := w.source(t, byHTTP(serve(t, app.ServeHTTP)))
	step := func(what string, wait time.Duration, cookie string, want error, asked int32) {
		t.Helper()
		w.clock.advance(wait)
		_, err := s.Validate(t.Context(), text(cookie))
		refusal(t, err, want)
		if app.asked.Load() != asked {
			t.Errorf("%s: asked %d times, want %d", what, app.asked.Load(), asked)
		}
	}
	step("first", 0, "a", nil, 1)
	app.say(isNone)
	step("within 10 s", 9999*time.Millisecond, "a", nil, 1)
	step("another cookie", 0, "b", ErrInvalid, 2)
	step("10 s", time.Millisecond, "a", ErrInvalid, 3)
	app.say(isAlice)
	step("a refusal within 1 s", 999*time.Millisecond, "a", ErrInvalid, 3)
	step("a refusal after 1 s", time.Millisecond, "a", nil, 4)
	app.say("")
	step("an outage behind the cache", time.Second, "a", nil, 4)
	step("an outage", 9*time.Second, "a", ErrUnavailable, 5)
	app.say(isAlice)
	step("an outage is not remembered", 0, "a", nil, 6)
	app.say(fmt.Sprintf(`{"active":true,"user_id":"alice","expires":%d}`, w.clock.Now().Unix()+20))
	step("with an end", 11*time.Second, "a", nil, 7)
	step("before its end", 5*time.Second, "a", nil, 7)
	step("at its end", 5*time.Second, "a", ErrInvalid, 8)
	app.say(isAlice)
	step("after a refusal", time.Second, "a", nil, 9)
	step("a clock that went back", -time.Hour, "a", nil, 10)
}

func TestClaimsAreNotShared(t *testing.T) {
	s := newWorld(t).source(t, byHTTP(serve(t, (&counting{answer: isAlice}).ServeHTTP)))
	for range 2 {
		got, err := s.Validate(t.Context(), text("a"))
		if err != nil || got.Claims["a"] != "b" {
			t.Fatalf("%+v, %v", got, err)
		}
		got.Claims["a"] = "changed"
	}
}

func TestCacheIsBounded(t *testing.T) {
	clock := &stepped{now: time.Now()}
	c := newCache(clock.Now)
	c.put(0, "first", Session{User: "alice"})
	for i := range maxRemembered + 100 {
		c.refuse(0, fmt.Sprint("bad", i))
	}
	if _, _, known := c.get("first"); !known {
		t.Error("strangers' cookies push out a session")
	}
	for i := range maxRemembered + 100 {
		c.put(0, fmt.Sprint(i), Session{User: "alice"})
	}
	if c.good.Len() != maxRemembered || c.bad.Len() != maxRemembered {
		t.Errorf("%d sessions and %d refusals are remembered", c.good.Len(), c.bad.Len())
	}
	if _, _, known := c.get("first"); known {
		t.Error("the oldest is still there")
	}
}

// gate is an application that answers when it is told to.
type gate struct {
	arrived, release chan struct{}
	asked            atomic.Int32
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked.Add(1)
	g.arrived <- struct{}{}
	<-g.release
	answering(200, jsonType, isAlice)(w, r)
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 1000), release: make(chan struct{})} }

func TestSingleFlight(t *testing.T) {
	g := newGate()
	s := newWorld(t).source(t, byHTTP(serve(t, g.ServeHTTP)))
	// The first asker goes away; the others get the answer to its question all the same.
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := s.Validate(gone, text("a")); left <- err }()
	<-g.arrived
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got, err := s.Validate(t.Context(), text("a")); err != nil || got.User != "shop:alice" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	leave()
	err := <-left
	refusal(t, err, ErrUnavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	close(g.release)
	all.Wait()
	if g.asked.Load() != 1 {
		t.Errorf("asked %d times for one cookie", g.asked.Load())
	}
}

// More sessions than may be asked about at a time wait: a start of an edge is no outage.
func TestManySessionsAtOnce(t *testing.T) {
	g := newGate()
	s := newWorld(t).source(t, byHTTP(serve(t, g.ServeHTTP)))
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			if _, err := s.Validate(t.Context(), text(fmt.Sprint("a", i))); err != nil {
				t.Error(err)
			}
		})
	}
	for range 64 {
		<-g.arrived
	}
	if g.asked.Load() != 64 {
		t.Errorf("%d questions at a time", g.asked.Load())
	}
	close(g.release)
	all.Wait()
}

// A revocation during a question: who asks after it is not served with the answer from before.
func TestRevokeDuringAQuestion(t *testing.T) {
	for name, revoke := range map[string]func(*Source) error{
		"session": func(s *Source) error { return s.Revoke(context.Background(), text("a")) },
		"user":    func(s *Source) error { return s.RevokeUser(context.Background(), "shop:alice") },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			s := newWorld(t).source(t, byHTTP(serve(t, g.ServeHTTP)))
			before := make(chan error, 1)
			go func() { _, err := s.Validate(t.Context(), text("a")); before <- err }()
			<-g.arrived
			if err := revoke(s); err != nil {
				t.Fatal(err)
			}
			after := make(chan error, 1)
			go func() { _, err := s.Validate(t.Context(), text("a")); after <- err }()
			<-g.arrived // a question of its own
			close(g.release)
			if err := errors.Join(<-before, <-after); err != nil {
				t.Error(err)
			}
			if g.asked.Load() != 2 {
				t.Errorf("asked %d times", g.asked.Load())
			}
		})
	}
	w, app := newWorld(t), &counting{answer: isAlice}
	s := w.source(t, byHTTP(serve(t, app.ServeHTTP)))
	for i, revoke := range []func() error{
		func() error { return nil },
		func() error { return s.Revoke(t.Context(), text("a")) },
		func() error { return s.RevokeUser(t.Context(), "shop:alice") },
	} {
		if err := revoke(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Validate(t.Context(), text("a")); err != nil || app.asked.Load() != int32(i)+1 {
			t.Errorf("%d: %v, asked %d times", i, err, app.asked.Load())
		}
	}
	if err := s.RevokeUser(t.Context(), "shop:bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Validate(t.Context(), text("a")); err != nil || app.asked.Load() != 3 {
		t.Errorf("somebody else's revocation: %v, asked %d times", err, app.asked.Load())
	}
}

// A snapshot that changes nothing about the legacy sessions changes nothing in the cache and the breakers.
func TestNewSnapshots(t *testing.T) {
	w, app := newWorld(t), &counting{answer: isAlice}
	url := serve(t, app.ServeHTTP)
	validate := func(s *Source, asked int32) {
		t.Helper()
		if _, err := s.Validate(t.Context(), text("a")); err != nil || app.asked.Load() != asked {
			t.Errorf("%v, asked %d times, want %d", err, app.asked.Load(), asked)
		}
	}
	first := w.source(t, byHTTP(url))
	validate(first, 1)
	more := byHTTP(url)
	more.Issuer = &snapshot.LegacyWebhook{URL: url + "/issue"}
	second := w.source(t, more)
	validate(second, 1)
	if len(w.open) != 2 {
		t.Errorf("%d things are kept", len(w.open))
	}
	if _, err := New("sid", snapshot.Legacy{Validator: snapshot.LegacyValidator{HTTP: &snapshot.LegacyWebhook{URL: url + "/other"}}, Issuer: &snapshot.LegacyWebhook{URL: "x"}}, w.Keeper); err == nil {
		t.Fatal("accepted")
	}
	if len(w.open) != 2 {
		t.Errorf("%d things are kept after a refused one", len(w.open))
	}
	other := byHTTP(url)
	other.SubjectPrefix = "other:"
	third := w.source(t, other)
	if got, err := third.Validate(t.Context(), text("a")); err != nil || got.User != "other:alice" {
		t.Errorf("another prefix: %+v, %v", got, err)
	}
	w.clock.advance(time.Minute)
	validate(first, 3) // requests that still have the old snapshot are served
	if len(w.open) != 1 {
		t.Errorf("%d things are kept", len(w.open))
	}
	if strings.Contains(w.log.String(), "ERROR") {
		t.Error(w.log)
	}
}

// The answer to a question from before a revocation is not remembered.
func TestALateAnswerIsNotRemembered(t *testing.T) {
	g := newGate()
	s := newWorld(t).source(t, byHTTP(serve(t, g.ServeHTTP)))
	before := make(chan error, 1)
	go func() { _, err := s.Validate(t.Context(), text("a")); before <- err }()
	<-g.arrived
	if err := s.Revoke(t.Context(), text("a")); err != nil {
		t.Fatal(err)
	}
	close(g.release)
	if err := <-before; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Validate(t.Context(), text("a")); err != nil || g.asked.Load() != 2 {
		t.Errorf("%v, asked %d times", err, g.asked.Load())
	}
}
