package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// shelf is a store's table of leases under the test's own clock, which the processes share.
type shelf struct {
	mu     sync.Mutex
	now    time.Time
	since  time.Time // when the server at hand began to keep leases
	held   map[string]held
	fails  bool
	reads  int
	writes []string
}

type held struct {
	applied uint64
	until   time.Time
}

func newShelf() *shelf {
	now := time.Unix(1000, 0)
	return &shelf{now: now, since: now, held: map[string]held{}}
}

func (s *shelf) clock() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now }

func (s *shelf) advance(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.now = s.now.Add(d) }

func (s *shelf) fail(on bool) { s.mu.Lock(); defer s.mu.Unlock(); s.fails = on }

// lose is a failover to a server that has only the leases that keep says.
func (s *shelf) lose(keep func(edge string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.held, func(edge string, _ held) bool { return !keep(edge) })
	s.since = s.now
}

func (s *shelf) PutLease(_ context.Context, edge string, applied uint64, length time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return store.ErrUnavailable
	}
	s.writes = append(s.writes, edge)
	s.held[edge] = held{applied, s.now.Add(length)}
	return nil
}

func (s *shelf) DropLease(_ context.Context, edge string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return store.ErrUnavailable
	}
	delete(s.held, edge)
	return nil
}

func (s *shelf) Leases(context.Context) (store.LeaseTable, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.fails {
		return store.LeaseTable{}, store.ErrUnavailable
	}
	table := store.LeaseTable{Kept: s.now.Sub(s.since)}
	for edge, h := range s.held {
		if left := h.until.Sub(s.now); left >= -time.Minute {
			table.Leases = append(table.Leases, store.Lease{Edge: edge, Applied: h.applied, Left: left})
		}
	}
	return table, nil
}

func (s *shelf) readings() int { s.mu.Lock(); defer s.mu.Unlock(); return s.reads }

const five = 5 * time.Second

// process is a token service on the shelf whose policy says length.
func (s *shelf) process(length *time.Duration) *SharedLeases {
	return NewSharedLeases(s, func() time.Duration { return *length }, s.clock)
}

func tell(t *testing.T, l *SharedLeases, edge string, applied uint64) {
	t.Helper()
	if _, err := l.Report(t.Context(), edge, applied); err != nil {
		t.Fatalf("Report(%s): %v", edge, err)
	}
}

// judged is what a reading of this moment says of a number.
func judged(t *testing.T, l *SharedLeases, what string, number uint64, wantWait, wantLost bool) {
	t.Helper()
	read, err := l.read()
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait, lost := read.judge(number, l.length(), l.longest()); wait != wantWait || !wait && lost != wantLost {
		t.Errorf("%s: wait %t, lost %t; want %t, %t", what, wait, lost, wantWait, wantLost)
	}
}

func TestSharedLeasesAreThoseOfAllProcesses(t *testing.T) {
	s, length := newShelf(), five
	a, b := s.process(&length), s.process(&length)
	judged(t, a, "a table that is younger than a lease", 1, true, false)
	s.advance(heldFor(five))
	judged(t, a, "no edges", 1, false, false)
	tell(t, a, "one#1", 10)
	tell(t, b, "two#1", 11)
	for name, l := range map[string]*SharedLeases{"a": a, "b": b} {
		judged(t, l, name+" at 10", 10, false, false)
		judged(t, l, name+" at 11", 11, true, false)
	}
	s.advance(five)
	judged(t, b, "an edge counts its lease from before the store does", 11, true, false)
	tell(t, a, "two#1", 11) // at another process than before
	s.advance(heldFor(five) - five)
	judged(t, b, "one ran out", 11, false, true)
	tell(t, b, "one#1", 12)
	judged(t, a, "one is there again", 11, false, false)
	s.advance(readEvery)
	if n := a.Leased() + b.Leased(); n != 4 {
		t.Errorf("%d leases at two processes, want 2 at each", n)
	}
	if err := b.Leave(t.Context(), "two#1"); err != nil {
		t.Fatal(err)
	}
	judged(t, a, "two has left", 12, false, false)
	s.advance(heldFor(five) + time.Minute + time.Second)
	judged(t, a, "one is forgotten", 13, false, false)
	if n := a.Leased(); n != 0 {
		t.Errorf("%d leases of nobody", n)
	}
}

// What a failed server has taken with it holds until it would have run out.
func TestLostTable(t *testing.T) {
	s, length := newShelf(), 30*time.Second
	a := s.process(&length)
	s.advance(time.Hour)
	tell(t, a, "one#1", 10)
	length = five // the policy is changed; the edge does not hear of it, and of nothing else
	b := s.process(&length)
	tell(t, b, "two#1", 11)
	s.lose(func(edge string) bool { return strings.HasPrefix(edge, "\t") })
	for name, l := range map[string]*SharedLeases{"who granted it": a, "another process": b} {
		judged(t, l, name+", at once", 11, true, false)
	}
	s.advance(heldFor(five))
	tell(t, b, "two#1", 11)
	for name, l := range map[string]*SharedLeases{"who granted it": a, "another process": b, "a new process": s.process(&length)} {
		judged(t, l, name+", after a short lease", 11, false, true)
	}
	s.advance(30 * time.Second)
	for name, l := range map[string]*SharedLeases{"who granted it": a, "another process": b, "a new process": s.process(&length)} {
		judged(t, l, name+", after the long lease", 11, false, false)
	}

	// With the notes lost too, those who were there still know.
	s.lose(func(string) bool { return false })
	s.advance(heldFor(five))
	judged(t, a, "an emptied store, who granted it", 11, false, true)
	judged(t, b, "an emptied store, who read of it", 11, false, true)
	s.advance(30 * time.Second)
	judged(t, a, "an emptied store, after the long lease", 11, false, false)
	// The next report notes it again, and once.
	tell(t, b, "two#1", 11)
	tell(t, b, "two#1", 11)
	judged(t, b, "noted", 11, false, false)
	if noted := len(b.last.lengths); noted != 1 {
		t.Errorf("%d lengths are noted: %v", noted, b.last.lengths)
	}
	s.advance(noteFor)
	if longest := func() time.Duration { a.mu.Lock(); defer a.mu.Unlock(); return a.longest() }(); longest != five {
		t.Errorf("the longest lease is still %s", longest)
	}
}

func TestLengthsAreNotedInTime(t *testing.T) {
	s, length := newShelf(), five
	a := s.process(&length)
	notes := func() (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, edge := range s.writes {
			if strings.HasPrefix(edge, lengthNote) {
				n++
			}
		}
		if n > 0 && !strings.HasPrefix(s.writes[0], lengthNote) {
			t.Fatal("a lease was granted before its length was noted")
		}
		return n
	}
	for range 60 * 60 {
		tell(t, a, "one#1", 1)
		s.advance(time.Second)
		read, _ := a.read()
		if read.lengths[five] < noteFor/2-2*time.Second {
			t.Fatalf("the note lasts %s only", read.lengths[five])
		}
	}
	if n := notes(); n < 10 || n > 16 {
		t.Errorf("%d notes in an hour, want one in five minutes", n)
	}
}

// As [Leases] does: see TestOneNameTwoProcesses.
func TestSharedOneNameTwoProcesses(t *testing.T) {
	s, length := newShelf(), five
	a, b := s.process(&length), s.process(&length)
	s.advance(time.Minute)
	tell(t, a, "e#1", 9)
	s.advance(time.Second)
	tell(t, b, "e#2", 10)
	judged(t, a, "the first may decide", 10, true, false)
	s.advance(time.Second)
	tell(t, a, "e#1", 9)
	tell(t, b, "e#2", 10)
	judged(t, b, "it does", 10, true, false)
	s.advance(heldFor(five))
	tell(t, b, "e#2", 10)
	judged(t, a, "it is cut off", 10, false, true)
	s.advance(time.Hour)
	tell(t, a, "f#1", 9)
	s.advance(time.Second)
	tell(t, b, "f#2", 10)
	s.advance(heldFor(five))
	tell(t, b, "f#2", 10)
	judged(t, a, "the first was followed by the second", 10, false, false)
	judged(t, b, "the first was followed by the second", 10, false, false)
}

func TestSharedWait(t *testing.T) {
	s, length := newShelf(), five
	a, b := s.process(&length), s.process(&length)
	s.advance(time.Minute)
	tell(t, a, "one#1", 1)
	tell(t, b, "two#1", 2)
	answers := make(chan bool, 50)
	for range cap(answers) {
		go func() { answers <- a.Wait(t.Context(), 2) }()
	}
	until(t, "all wait", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.waiters) == cap(answers) })
	begun, before := time.Now(), s.readings()
	tell(t, b, "one#1", 2) // at the other process: only the store tells
	for range cap(answers) {
		if !<-answers {
			t.Error("not reached although both edges have applied it")
		}
	}
	if n, took := s.readings()-before, time.Since(begun); n > 20+2*int(took/readSoon) {
		t.Errorf("%d readings in %s for %d that wait together", n, took, cap(answers))
	}
	until(t, "the reading ends", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return !a.polling })

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a.Wait(ctx, 3) {
		t.Error("a cancelled wait says yes")
	}
	go func() { answers <- a.Wait(t.Context(), 3) }()
	until(t, "it waits", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.waiters) == 1 })
	s.advance(heldFor(five))
	if <-answers {
		t.Error("two laggards count as reached")
	}
}

// An edge that goes on without applying, and a store that is down, make no logout hang.
func TestSharedWaitEnds(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprint("down ", down), func(t *testing.T) {
			s, length := newShelf(), five
			a := s.process(&length)
			s.advance(time.Minute)
			tell(t, a, "one#1", 1)
			s.fail(down)
			answer := make(chan bool, 1)
			go func() { answer <- a.Wait(t.Context(), 2) }()
			until(t, "it waits", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.waiters) == 1 })
			for range 9 {
				s.advance(time.Second)
				if !down {
					tell(t, a, "one#1", 1)
				}
			}
			before := s.readings()
			until(t, "two more readings", func() bool { return s.readings() >= before+2 })
			select {
			case <-answer:
				t.Error("gave up before two leases have passed")
			default:
			}
			s.advance(2 * time.Second)
			if <-answer {
				t.Error("says that all have it")
			}
		})
	}
	// Back in time, it says so.
	s, length := newShelf(), five
	a := s.process(&length)
	s.advance(time.Minute)
	tell(t, a, "one#1", 2)
	s.fail(true)
	answer := make(chan bool, 1)
	go func() { answer <- a.Wait(t.Context(), 2) }()
	before := s.readings()
	until(t, "it has failed", func() bool { return s.readings() > before })
	s.fail(false)
	if !<-answer {
		t.Error("not reached although the store came back")
	}
}

func TestSharedLeasesWithoutAStore(t *testing.T) {
	s, length := newShelf(), five
	a := s.process(&length)
	s.fail(true)
	if n := a.Leased(); n != 0 {
		t.Errorf("%d leases in a store that was never reached", n)
	}
	if _, err := a.Report(t.Context(), "one#1", 1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Report: %v", err)
	}
	if err := a.Leave(t.Context(), "one#1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Leave: %v", err)
	}
	s.fail(false)
	tell(t, a, "one#1", 1)
	s.advance(2 * time.Second)
	if n := a.Leased(); n != 1 {
		t.Errorf("%d leases, want 1", n)
	}
	s.fail(true)
	s.advance(2 * time.Second)
	if n := a.Leased(); n != 1 {
		t.Errorf("%d leases by what was read last, want 1", n)
	}
	s.advance(2 * time.Second)
	if n := a.Leased(); n != 0 {
		t.Errorf("%d leases after they ran out", n)
	}
}

func TestSharedLeasesAreBounded(t *testing.T) {
	s, length := newShelf(), time.Minute
	a := s.process(&length)
	for i := range maxEdges {
		_ = s.PutLease(t.Context(), fmt.Sprint(i), 1, time.Minute)
	}
	if _, err := a.Report(t.Context(), "one more", 1); !errors.Is(err, ErrTooManyEdges) {
		t.Errorf("edge %d: %v", maxEdges+1, err)
	}
	tell(t, a, "7", 2)
	before := s.readings()
	for range 100 {
		tell(t, a, "7", 2)
		a.Leased()
	}
	if n := s.readings() - before; n > 1 {
		t.Errorf("%d readings in one second", n)
	}
	for _, note := range []string{endedNoteOf("x"), lengthNote + "5s"} {
		if goodEdge(note) {
			t.Errorf("an edge may be named %q", note)
		}
	}
}
