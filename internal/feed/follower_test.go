package feed

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

// changing is a log that can fail and be replaced, id and all, while it is read.
type changing struct {
	now atomic.Pointer[generation]
}

type generation struct {
	id  string
	log *failing
}

func newChanging(id string) *changing {
	c := &changing{}
	c.now.Store(&generation{id, &failing{}})
	return c
}

func (c *changing) ID() string { return c.now.Load().id }
func (c *changing) Last(ctx context.Context) (uint64, error) {
	return c.now.Load().log.Last(ctx)
}
func (c *changing) Revocations(ctx context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	return c.now.Load().log.Revocations(ctx, after, limit)
}
func (c *changing) Subscribe() (<-chan struct{}, func()) { return c.now.Load().log.Subscribe() }

func following(t *testing.T, source *changing, within time.Duration) *Follower {
	t.Helper()
	f := NewFollower(source, source.ID, func() time.Duration { return within }, quiet(), time.Now)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

func TestFollower(t *testing.T) {
	source := newChanging("first")
	log := source.now.Load().log
	for range 2*pageSize + 5 {
		log.append(revocation.SessionID(1))
	}
	log.append("old")
	f := NewFollower(source, source.ID, func() time.Duration { return time.Minute }, quiet(), time.Now)
	if f.Loaded() {
		t.Fatal("loaded before it began")
	}
	f = following(t, source, time.Minute)
	distrusts := func(sid string) bool { return f.Revoked(revocation.Credential{SessionID: sid}) }
	until(t, "loaded", f.Loaded)
	if !distrusts("old") || distrusts("new") {
		t.Error("loaded without the list, or with more")
	}
	log.append("new")
	until(t, "the new entry", func() bool { return distrusts("new") })

	// Emptied: what was distrusted is distrusted on, and the new numbers begin below the old ones.
	source.now.Store(&generation{"second", &failing{}})
	source.now.Load().log.append("after")
	until(t, "the entry of the new store", func() bool { return distrusts("after") })
	if !distrusts("old") || !distrusts("new") {
		t.Error("an emptied store took a revocation back")
	}
	if f.list.Applied() != source.now.Load().log.last {
		t.Error("the numbers are not those of the new store")
	}
	source.now.Load().log.append("next") // nobody is told: the subscription was to the first
	until(t, "an entry without having been told", func() bool { return distrusts("next") })
}

// Without the store nobody may be told that a token is good.
func TestFollowerWithoutAStore(t *testing.T) {
	source := newChanging("")
	f := following(t, source, 300*time.Millisecond)
	source.now.Load().log.append("x")
	<-time.After(50 * time.Millisecond) // it may have read by now; it must not have believed a store without an id
	if f.Loaded() {
		t.Fatal("loaded from a store that is not known")
	}
	source.now.Store(&generation{"first", source.now.Load().log})
	until(t, "loaded", f.Loaded)
	down := &failing{lastFails: true, listFails: true}
	source.now.Store(&generation{"first", down})
	until(t, "not loaded any more", func() bool { return !f.Loaded() })
	if !f.Revoked(revocation.Credential{SessionID: "x"}) {
		t.Error("the revocations are gone with the store")
	}
	again := &failing{}
	again.append("x")
	source.now.Store(&generation{"first", again})
	until(t, "loaded again", f.Loaded)
}

// A stream ends with its store, and without an id there is neither a stream nor a lease.
func TestTheStoreChangesUnderTheServer(t *testing.T) {
	source := newChanging("")
	leases := newLeases()
	handler := NewServer(ServerConfig{Source: source, Store: source.ID, Leases: leases, Logger: quiet(), Now: time.Now}).Handler()
	ask := func(method, path, body string) int {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
		return recorder.Code
	}
	if code := ask(http.MethodGet, StreamPath, ""); code != http.StatusServiceUnavailable {
		t.Errorf("a stream of a store that is not known: %d", code)
	}
	for _, body := range []string{`{"edge":"a","applied":1}`, `{"edge":"a","applied":1,"store":"first"}`} {
		if code := ask(http.MethodPost, LeasePath, body); code != http.StatusServiceUnavailable || leases.Leased() != 0 {
			t.Errorf("a report to a store that is not known: %d, %d leases", code, leases.Leased())
		}
	}

	r := &rig{T: t, log: &memory{}, leases: leases}
	source.now.Store(&generation{"first", &failing{}})
	source.now.Load().log.append("old")
	r.serveFrom(source, source.ID, "127.0.0.1:0")
	c, _ := r.client("edge", "", nil)
	until(t, "loaded", func() bool { return c.Status().Loaded && revoked(c, "old") })
	source.now.Store(&generation{"second", &failing{}})
	source.now.Load().log.append("new")
	number := source.now.Load().log.append("newer")
	until(t, "the list of the new store, without a restart", func() bool { return c.Status().Applied == number && revoked(c, "new") })
	if !revoked(c, "old") {
		t.Error("an acknowledged logout is forgotten with the store")
	}
	if !leases.Wait(t.Context(), number) {
		t.Error("no lease with the new store")
	}
}

// An edge that hears of nothing because the store changes between the two questions of a report holds no lease.
type changesAtLast struct{ *changing }

func (c changesAtLast) Last(ctx context.Context) (uint64, error) {
	c.now.Store(&generation{"second", &failing{}})
	return c.changing.Last(ctx)
}

func TestTheStoreChangesUnderAReport(t *testing.T) {
	source := changesAtLast{newChanging("first")}
	leases := newLeases()
	handler := NewServer(ServerConfig{Source: source, Store: source.ID, Leases: leases, Logger: quiet(), Now: time.Now}).Handler()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, LeasePath, strings.NewReader(`{"edge":"a","applied":1,"store":"first"}`)))
	if recorder.Code != http.StatusConflict {
		t.Errorf("acknowledged with %d", recorder.Code)
	}
}
