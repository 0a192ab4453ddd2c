package crashtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// point is a place at which the service dies, as operation/step.when.
type point string

// points are all of them. Each is reached by one request of its operation.
var points = []point{
	"login/received", "login/take.before", "login/take.after", "login/create.before", "login/create.during", "login/create.after",
	"login/header.before", "login/header.after", "login/body.half", "login/body.after", "login/done",

	"refresh/received", "refresh/inspect.before", "refresh/inspect.after", "refresh/rotate.before", "refresh/rotate.during", "refresh/rotate.after",
	"refresh/header.before", "refresh/header.after", "refresh/body.half", "refresh/body.after", "refresh/done",

	"logout/received", "logout/inspect.before", "logout/inspect.after", "logout/revoke.before", "logout/revoke.during", "logout/revoke.after",
	"logout/wait.before", "logout/wait.after", "logout/header.before", "logout/header.after", "logout/body.half", "logout/body.after", "logout/done",
}

// trap is the point at which this process dies, armed by the request that is to meet it.
type trap struct {
	at        point
	operation atomic.Pointer[string]
}

// step dies if it is the armed point.
func (t *trap) step(name string) {
	if t.is(name) {
		die()
	}
}

func (t *trap) is(name string) bool {
	operation := t.operation.Load()
	return operation != nil && point(*operation+"/"+name) == t.at
}

// during dies at some moment of the operation that follows, whose length is about that of a flush to the disk.
func (t *trap) during(name string) {
	if t.is(name + ".during") {
		go func() {
			<-time.After(time.Duration(rand.Int64N(int64(600 * time.Microsecond))))
			die()
		}()
	}
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// trapped is a store that dies where it is told to.
type trapped struct {
	store.Store
	*trap
}

func around[T any](t *trap, name string, do func() (T, error)) (T, error) {
	t.step(name + ".before")
	t.during(name)
	value, err := do()
	if t.is(name + ".during") {
		die() // at the latest: a round in which nothing dies shows nothing
	}
	t.step(name + ".after")
	return value, err
}

func (s trapped) Take(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (store.Counted, error) {
	return around(s.trap, "take", func() (store.Counted, error) { return s.Store.Take(ctx, key, limit, window, now) })
}

func (s trapped) Create(ctx context.Context, request store.NewFamily) (store.Created, error) {
	return around(s.trap, "create", func() (store.Created, error) { return s.Store.Create(ctx, request) })
}

func (s trapped) Inspect(ctx context.Context, token store.Token, now time.Time, window time.Duration) (store.Inspection, error) {
	return around(s.trap, "inspect", func() (store.Inspection, error) { return s.Store.Inspect(ctx, token, now, window) })
}

func (s trapped) Rotate(ctx context.Context, request store.RotateRequest) (store.RotateResult, error) {
	return around(s.trap, "rotate", func() (store.RotateResult, error) { return s.Store.Rotate(ctx, request) })
}

func (s trapped) RevokeSession(ctx context.Context, request store.Revoke) (uint64, error) {
	return around(s.trap, "revoke", func() (uint64, error) { return s.Store.RevokeSession(ctx, request) })
}

// edges are no edges at all, and where the service waits for them.
type edges struct{ *trap }

func (e edges) Wait(context.Context, uint64) bool {
	applied, _ := around(e.trap, "wait", func() (bool, error) { return true, nil })
	return applied
}

func (edges) Leased() int { return 0 }

// handler arms the trap for the request's operation and dies inside its answer.
func (t *trap) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operation := r.URL.Path[len("/auth/"):]
		t.operation.Store(&operation)
		t.step("received")
		next.ServeHTTP(&answer{ResponseWriter: w, trap: t}, r)
		_ = http.NewResponseController(w).Flush()
		t.step("done")
	})
}

// answer is a response whose parts are sent at once, so that what was written before a death has left.
type answer struct {
	http.ResponseWriter
	trap   *trap
	headed bool
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	a.trap.step("header.before")
	a.headed = true
	a.ResponseWriter.WriteHeader(status)
	if a.trap.is("header.after") {
		_ = http.NewResponseController(a.ResponseWriter).Flush()
		die()
	}
}

func (a *answer) Write(body []byte) (int, error) {
	if !a.headed {
		a.WriteHeader(http.StatusOK)
	}
	if a.trap.is("body.half") {
		_, _ = a.ResponseWriter.Write(body[:len(body)/2])
		_ = http.NewResponseController(a.ResponseWriter).Flush()
		die()
	}
	n, err := a.ResponseWriter.Write(body)
	if a.trap.is("body.after") {
		_ = http.NewResponseController(a.ResponseWriter).Flush()
		die()
	}
	return n, err
}
