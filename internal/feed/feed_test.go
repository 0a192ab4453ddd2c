package feed

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

// memory is a log of revocations in memory.
type memory struct {
	mu      sync.Mutex
	entries []revocation.Entry
	last    uint64
	watch   []chan struct{}
}

func (m *memory) append(sid string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last += 3 // sessions take numbers between
	m.entries = append(m.entries, revocation.Entry{Seq: m.last, Kind: revocation.Session, Value: sid, Expires: time.Now().Add(time.Hour)})
	for _, w := range m.watch {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	return m.last
}

func (m *memory) Revocations(_ context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []revocation.Entry
	for _, e := range m.entries {
		if e.Seq > after {
			if len(page) == limit {
				return page, true, nil
			}
			page = append(page, e)
		}
	}
	return page, false, nil
}

func (m *memory) Last(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, nil
}

func (m *memory) Subscribe() (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := make(chan struct{}, 1)
	m.watch = append(m.watch, w)
	return w, func() {}
}

// rig is a server on loopback and what tests need to talk to it.
type rig struct {
	*testing.T
	log     *memory
	leases  *Leases
	dir     string
	store   string
	address string
	server  *Server
	stop    func()
	// sessions answers questions about legacy sessions.
	sessions Sessions
}

// leaseLength is longer than a machine stands still.
const leaseLength = 30 * time.Second

// newLeases are as old as a lease: no edge of a process before can hold one, so nobody waits for its end.
func newLeases() *Leases {
	l := NewLeases(func() time.Duration { return leaseLength }, time.Now)
	l.started = l.started.Add(-leaseLength)
	return l
}

// always is the id of a store that stays.
func always(id string) func() string {
	if id == "" {
		return nil
	}
	return func() string { return id }
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	r := &rig{T: t, log: &memory{}, dir: dir, leases: newLeases()}
	r.serve(port.For(t)) // it listens there again
	return r
}

func (r *rig) serve(address string) { r.Helper(); r.serveFrom(r.log, always(r.store), address) }

func (r *rig) serveFrom(source Log, id func() string, address string) {
	r.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		r.Fatal(err)
	}
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	server := NewServer(ServerConfig{Source: source, Store: id, Leases: r.leases, Sessions: r.sessions, Dir: r.dir, Logger: quiet(), Now: time.Now})
	r.server = server
	go func() {
		defer close(ended)
		_ = server.Serve(ctx, listener)
	}()
	r.stop = func() { cancel(); <-ended }
	r.Cleanup(r.stop)
}

func (r *rig) client(name, dir string, target func() (Target, bool)) (*Client, func()) {
	r.Helper()
	if target == nil {
		target = func() (Target, bool) {
			return Target{FeedAddress: snapshot.FeedAddress{Address: r.address}, MaxPropagation: leaseLength}, true
		}
	}
	c, err := NewClient(ClientConfig{Edge: name, Dir: dir, Target: target, Log: quiet(), Now: time.Now})
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Run(ctx) }()
	stop := func() { cancel(); <-ended }
	r.Cleanup(stop)
	return c, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func revoked(c *Client, sid string) bool {
	return c.List().Revoked(revocation.Credential{SessionID: sid})
}

func TestEntriesReachEveryEdge(t *testing.T) {
	r := newRig(t, "")
	for i := range 2500 { // several pages
		r.log.append(fmt.Sprint("old", i))
	}
	a, _ := r.client("a", "", nil)
	b, stopB := r.client("b", "", nil)
	for _, c := range []*Client{a, b} {
		if c.Status().Loaded && !revoked(c, "old2499") {
			t.Fatal("loaded without the list")
		}
		until(t, "loaded", func() bool { return c.Status().Loaded })
		if s := c.Status(); s.Stale || s.Applied != 7500 || !revoked(c, "old0") || !revoked(c, "old2499") || revoked(c, "new") {
			t.Fatalf("after loading: %+v", s)
		}
	}
	if n := r.leases.Leased(); n != 2 {
		t.Errorf("%d leases, want 2", n)
	}
	for i := range 20 {
		number := r.log.append(fmt.Sprint("new", i))
		if !r.leases.Wait(t.Context(), number) {
			t.Fatal("not propagated")
		}
		for _, c := range []*Client{a, b} {
			if !revoked(c, fmt.Sprint("new", i)) || c.Status().Applied != number {
				t.Fatalf("Wait answered, but an edge has %d of %d", c.Status().Applied, number)
			}
		}
	}
	stopB()
	if n := r.leases.Leased(); n != 1 {
		t.Errorf("%d leases after an edge left, want 1", n)
	}
	if b.Status().Loaded || !b.Status().Stale {
		t.Error("an edge that gave its lease back must not decide")
	}
	begun := time.Now()
	if !r.leases.Wait(t.Context(), r.log.append("last")) || time.Since(begun) > leaseLength/2 {
		t.Errorf("an edge that left was waited for: %s", time.Since(begun))
	}
}

func TestServerRestartAndAddressChange(t *testing.T) {
	r := newRig(t, "")
	r.log.append("one")
	var address atomic.Value
	address.Store(r.address)
	c, _ := r.client("a", "", func() (Target, bool) {
		a := address.Load().(string)
		return Target{FeedAddress: snapshot.FeedAddress{Address: a}, MaxPropagation: leaseLength}, a != ""
	})
	until(t, "loaded", func() bool { return c.Status().Loaded })
	r.stop()
	r.log.append("two")
	r.leases = newLeases()
	r.serve(r.address)
	until(t, "the entry written in between", func() bool { return revoked(c, "two") })
	r.stop()
	r.log.append("three")
	r.serve("127.0.0.1:0")
	address.Store(r.address)
	until(t, "the entry at the new address", func() bool { return revoked(c, "three") })
	// A move needs no failure.
	other := newRig(t, "")
	other.log.last = r.log.last
	other.log.append("four")
	address.Store(other.address)
	until(t, "the entry at the third address", func() bool { return revoked(c, "four") })
}

// An edge whose clock ran ahead has forgotten who is revoked. Set right, it must not decide before it knows again.
func TestClockAheadAndBack(t *testing.T) {
	r := newRig(t, "")
	r.log.append("gone")
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	c, err := NewClient(ClientConfig{Edge: "a", Log: quiet(), Now: clock, Target: func() (Target, bool) {
		return Target{FeedAddress: snapshot.FeedAddress{Address: r.address}, MaxPropagation: leaseLength}, true
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	defer running.Wait()
	defer cancel()
	until(t, "loaded", func() bool { return c.Status().Loaded })
	ahead.Store(int64(2 * time.Hour))
	if left := c.list.Prune(clock().Add(-pruneLate)); left != 0 {
		t.Fatalf("%d entries left", left)
	}
	ahead.Store(0)
	until(t, "the complete list again", func() bool {
		loaded := c.Status().Loaded
		if loaded && !revoked(c, "gone") {
			t.Fatal("decides with a list that lacks a live revocation")
		}
		return loaded
	})
}

func TestTwoEdgesOfOneName(t *testing.T) {
	r := newRig(t, "")
	a, _ := r.client("edge", "", nil)
	b, _ := r.client("edge", "", nil)
	until(t, "both loaded", func() bool { return a.Status().Loaded && b.Status().Loaded })
	if n := r.leases.Leased(); n != 2 {
		t.Errorf("%d leases of two edges", n)
	}
}

// A new store that has grown past the old numbers looks like the old one, but for its id.
func TestTheStoreIsReplaced(t *testing.T) {
	r := newRig(t, "")
	r.stop()
	r.store = "first"
	r.serve(r.address)
	r.log.append("old")
	here := Target{FeedAddress: snapshot.FeedAddress{Address: r.address}, MaxPropagation: leaseLength}
	c, _ := r.client("a", "", func() (Target, bool) { return here, true })
	until(t, "loaded", func() bool { return c.Status().Loaded })
	r.stop()
	r.log, r.store = &memory{}, "second"
	r.log.append("x")
	number := r.log.append("new")
	r.leases = newLeases()
	r.serve(r.address)
	until(t, "the new list", func() bool { return c.Status().Applied == number })
	if !revoked(c, "old") || !revoked(c, "new") {
		t.Error("an acknowledged logout is forgotten with the store")
	}
	until(t, "a lease with the new store", func() bool { return r.leases.Leased() == 1 })
	handler := NewServer(ServerConfig{Source: r.log, Store: always(r.store), Leases: r.leases, Logger: quiet(), Now: time.Now}).Handler()
	for body, want := range map[string]int{
		`{"edge":"b","applied":99,"store":"first"}`: http.StatusConflict, `{"edge":"b","applied":99}`: http.StatusConflict,
		`{"edge":"b","applied":3,"store":"second"}`: http.StatusOK,
	} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, LeasePath, strings.NewReader(body)))
		if recorder.Code != want {
			t.Errorf("%s: %d, want %d", body, recorder.Code, want)
		}
	}
}
