package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLeases(t *testing.T) {
	now := time.Unix(1000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	l := NewLeases(func() time.Duration { return 5 * time.Second }, clock)
	look := func(number uint64, wantPause time.Duration, wantLost bool) {
		t.Helper()
		if pause, lost, _ := l.look(number); max(pause, 0) != wantPause || lost != wantLost {
			t.Errorf("look(%d) = %s, %t; want %s, %t", number, pause, lost, wantPause, wantLost)
		}
	}
	look(1, 5*time.Second, false) // nobody known, but the process before may have known some
	advance(2 * time.Second)
	_, _ = l.Report(t.Context(), "a", 10)
	look(10, 3*time.Second, false)
	look(11, 5*time.Second, false)
	advance(3 * time.Second)
	look(10, 0, false)
	look(11, 2*time.Second, false)
	_, _ = l.Report(t.Context(), "b", 11)
	look(11, 2*time.Second, false)
	advance(2 * time.Second)
	look(11, 0, true) // a's lease ran out: it may decide with its old list
	if n := l.Leased(); n != 1 {
		t.Errorf("%d leases, want 1", n)
	}
	_, _ = l.Report(t.Context(), "a", 11)
	look(11, 0, false)
	_ = l.Leave(t.Context(), "a")
	_, _ = l.Report(t.Context(), "b", 12)
	look(12, 0, false)
	advance(5*time.Second + lostFor)
	look(13, 0, true)
	advance(time.Second)
	look(13, 0, false) // forgotten
	for i := range maxEdges {
		if _, err := l.Report(t.Context(), fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Report(t.Context(), "one more", 1); !errors.Is(err, ErrTooManyEdges) {
		t.Errorf("edge %d: %v", maxEdges+1, err)
	}
	advance(5*time.Second + lostFor + time.Second)
	if _, err := l.Report(t.Context(), "one more", 1); err != nil {
		t.Errorf("after the others were forgotten: %v", err)
	}
}

func TestWaitEndsWithTheLease(t *testing.T) {
	l := NewLeases(func() time.Duration { return 300 * time.Millisecond }, time.Now)
	_, _ = l.Report(t.Context(), "laggard", 1)
	if l.Wait(t.Context(), 2) {
		t.Error("a laggard counts as reached")
	}
	l = newLeases()
	_, _ = l.Report(t.Context(), "laggard", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l.Wait(ctx, 2) {
		t.Error("a cancelled wait says yes")
	}
	answered := make(chan bool, 1)
	go func() { answered <- l.Wait(t.Context(), 2) }()
	_, _ = l.Report(t.Context(), "laggard", 2)
	if !<-answered {
		t.Error("not reached although the edge has applied it")
	}
}

func TestBadReports(t *testing.T) {
	r := newRig(t, "")
	handler := NewServer(ServerConfig{Source: r.log, Leases: r.leases, Logger: quiet(), Now: time.Now}).Handler()
	for _, body := range []string{"", "{}", `{"edge":""}`, `{"edge":"a\nb","applied":1}`, `{"edge":"a","applied":-1}`, `{"edge":"a","what":1}`,
		`{"edge":"` + strings.Repeat("a", 300) + `"}`, `{"edge":"` + strings.Repeat("a", 5000) + `"}`} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, LeasePath, strings.NewReader(body)))
		if recorder.Code != http.StatusBadRequest {
			t.Errorf("%.40q: %d", body, recorder.Code)
		}
	}
	if r.leases.Leased() != 0 {
		t.Error("a bad report made a lease")
	}
}

// kept is what a store keeps of leases.
type kept struct {
	length time.Duration
	writes int
	err    error
}

func (k *kept) LongestLease(context.Context) (time.Duration, error) { return k.length, k.err }
func (k *kept) KeepLongestLease(_ context.Context, length time.Duration) error {
	if k.err != nil {
		return k.err
	}
	k.length, k.writes = length, k.writes+1
	return nil
}

// A restart does not make shorter what the process before has granted.
func TestLeasesOverARestart(t *testing.T) {
	now, length := time.Unix(1000, 0), 30*time.Second
	clock := func() time.Time { return now }
	store := &kept{}
	open := func() *Leases {
		l, err := OpenLeases(t.Context(), store, func() time.Duration { return length }, clock)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	report := func(l *Leases) {
		t.Helper()
		if _, err := l.Report(t.Context(), "a#1", 10); err != nil {
			t.Fatal(err)
		}
	}
	before := open()
	for range 3 {
		report(before)
	}
	if store.length != 30*time.Second || store.writes != 1 {
		t.Fatalf("kept %+v", store)
	}
	length = 5 * time.Second
	now = now.Add(30 * time.Second) // the last long lease has not run out to the instant
	report(before)
	if store.length != 30*time.Second {
		t.Fatalf("forgot a lease that may hold: %+v", store)
	}
	after := open()
	report(after)
	now = now.Add(5 * time.Second)
	if pause, lost, _ := after.look(10); pause > 0 || !lost {
		t.Errorf("look = %s, %t; want an answer now, and not that all have it", pause, lost)
	}
	now = now.Add(25 * time.Second)
	report(after)
	if pause, lost, _ := after.look(10); pause > 0 || lost {
		t.Errorf("look = %s, %t; want that all have it", pause, lost)
	}
	now = now.Add(time.Second)
	report(after)
	if store.length != 5*time.Second || store.writes != 2 {
		t.Errorf("kept %+v", store)
	}
	length, store.err = time.Minute, errors.New("disk full")
	if _, err := after.Report(t.Context(), "a#1", 11); err == nil {
		t.Error("granted a lease that the next process would not know of")
	}
	if _, err := OpenLeases(t.Context(), store, nil, clock); err == nil {
		t.Error("opened without knowing what was granted")
	}
}

// Two processes of one name are two edges; one that ended without a word is waited for, and then forgotten.
func TestOneNameTwoProcesses(t *testing.T) {
	now := time.Unix(1000, 0)
	l := NewLeases(func() time.Duration { return 5 * time.Second }, func() time.Time { return now })
	now = now.Add(5 * time.Second)
	report := func(edge string, applied uint64) {
		t.Helper()
		if _, err := l.Report(t.Context(), edge, applied); err != nil {
			t.Fatal(err)
		}
	}
	look := func(what string, wantPause time.Duration, wantLost bool) {
		t.Helper()
		if pause, lost, _ := l.look(10); max(pause, 0) != wantPause || lost != wantLost {
			t.Errorf("%s: %s, %t; want %s, %t", what, pause, lost, wantPause, wantLost)
		}
	}
	report("a#1", 9)
	now = now.Add(time.Second)
	report("a#2", 10)
	look("the first may decide", 4*time.Second, false)
	report("a#1", 9)
	look("it does", 5*time.Second, false)
	now = now.Add(5 * time.Second)
	look("it is cut off", 0, true)
	report("b#1", 9)
	report("b#2", 10)
	report("a#2", 10)
	report("a#3", 10)
	report("a#1", 10)
	now = now.Add(5 * time.Second)
	look("the first of b was followed by the second", 0, false)
}
