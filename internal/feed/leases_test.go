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
	_, _ = l.Report("a", 10)
	look(10, 3*time.Second, false)
	look(11, 5*time.Second, false)
	advance(3 * time.Second)
	look(10, 0, false)
	look(11, 2*time.Second, false)
	_, _ = l.Report("b", 11)
	look(11, 2*time.Second, false)
	advance(2 * time.Second)
	look(11, 0, true) // a's lease ran out: it may decide with its old list
	if n := l.Leased(); n != 1 {
		t.Errorf("%d leases, want 1", n)
	}
	_, _ = l.Report("a", 11)
	look(11, 0, false)
	l.Leave("a")
	_, _ = l.Report("b", 12)
	look(12, 0, false)
	advance(5*time.Second + lostFor)
	look(13, 0, true)
	advance(time.Second)
	look(13, 0, false) // forgotten
	for i := range maxEdges {
		if _, err := l.Report(fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Report("one more", 1); !errors.Is(err, ErrTooManyEdges) {
		t.Errorf("edge %d: %v", maxEdges+1, err)
	}
	advance(5*time.Second + lostFor + time.Second)
	if _, err := l.Report("one more", 1); err != nil {
		t.Errorf("after the others were forgotten: %v", err)
	}
}

func TestWaitEndsWithTheLease(t *testing.T) {
	l := NewLeases(func() time.Duration { return 300 * time.Millisecond }, time.Now)
	_, _ = l.Report("laggard", 1)
	if l.Wait(t.Context(), 2) {
		t.Error("a laggard counts as reached")
	}
	_, _ = l.Report("laggard", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l.Wait(ctx, 2) {
		t.Error("a cancelled wait says yes")
	}
	answered := make(chan bool, 1)
	go func() { answered <- l.Wait(t.Context(), 2) }()
	_, _ = l.Report("laggard", 2)
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
