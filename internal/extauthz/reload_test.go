package extauthz

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/token"
)

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("in vain: %s", what)
		case <-tick.C:
		}
	}
}

// soakFactor multiplies the counts of the promises.
func soakFactor() int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return 20
	}
	return 1
}

// Documents are swapped as the kubelet does it while clients ask: a token whose key is in every document is always
// good, one whose key is in none is always bad, and bad documents change nothing.
func TestHotReloadUnderLoad(t *testing.T) {
	w := newWorld(t)
	always, comes, never := signingKeys()[0], signingKeys()[1], signingKeys()[2]
	on, _ := w.serve(t, Drain{})
	good, bad := mint(t, always), mint(t, never)
	var asked, wrong atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		e := newEnvoy(t, on.GRPC.Addr().String())
		clients.Go(func() {
			for ctx.Err() == nil {
				for raw, want := range map[string]int32{good: 0, bad: 16} {
					answer, err := e.client.Check(context.Background(), e.request(get(bearer(raw))))
					asked.Add(1)
					if err != nil || answer.GetStatus().GetCode() != want {
						wrong.Add(1)
						t.Errorf("%v %v, want %d", answer, err, want)
						return
					}
				}
			}
		})
	}
	for i := range 15 * soakFactor() {
		revision := int64(2 + i)
		doc := document(revision, revision, always)
		if i%2 == 0 {
			doc = document(revision, revision, comes, always)
		}
		w.mount.put(t, doc)
		eventually(t, fmt.Sprintf("revision %d", revision), func() bool { return w.Status().Revision == revision })
		switch i % 3 {
		case 0:
			w.mount.write(t, []byte(`{"format":"keyturn.dev/edge-snapshot/v1","revision":999}`))
		case 1:
			w.mount.put(t, document(revision+500, 1, always)) // the epoch falls
		case 2:
			foreign := document(revision+500, revision+500, never)
			foreign.TokenService = "shop/other"
			w.mount.put(t, foreign)
		}
		eventually(t, "a refusal", func() bool { return w.Status().Refused != nil })
		if got := w.Status().Revision; got != revision {
			t.Fatalf("a bad document is in force: revision %d", got)
		}
	}
	cancel()
	clients.Wait()
	t.Logf("%d checks, %d wrong, %d documents", asked.Load(), wrong.Load(), w.mount.version)
	if asked.Load() == 0 {
		t.Error("nothing was asked")
	}
}

func TestKeyRotationReachesTheEdge(t *testing.T) {
	w := newWorld(t)
	one, two := signingKeys()[0], signingKeys()[1]
	on, _ := w.serve(t, Drain{})
	e := newEnvoy(t, on.GRPC.Addr().String())
	old, fresh := mint(t, one), mint(t, two)
	expect := func(when string, oldStatus, freshStatus int) {
		t.Helper()
		if a, b := e.send(t, get(bearer(old))).status, e.send(t, get(bearer(fresh))).status; a != oldStatus || b != freshStatus {
			t.Errorf("%s: old %d, new %d; want %d, %d", when, a, b, oldStatus, freshStatus)
		}
	}
	expect("before", 200, 401)
	w.put(t, document(2, 2, one, two))
	expect("published", 200, 200)
	w.put(t, document(3, 3, two, one))
	expect("switched", 200, 200)
	w.put(t, document(4, 4, two))
	expect("removed", 401, 200)
	if w.put(t, document(5, 3, one)) {
		t.Error("an older epoch is taken")
	}
	expect("an old backup", 401, 200)
	if r := w.Status().Refused; r == nil || r.Reason != "EpochFell" || r.Revision != 5 {
		t.Errorf("%+v", r)
	}
}

func TestRevocationDuringTheRun(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	e := newEnvoy(t, on.GRPC.Addr().String())
	raw := mint(t, signingKeys()[0], func(c *token.Claims) { c.SessionID = revocation.SessionID(900) })
	other := mint(t, signingKeys()[0], func(c *token.Claims) { c.SessionID = revocation.SessionID(2000) })
	if e.send(t, get(bearer(raw))).status != 200 {
		t.Fatal("refused before")
	}
	check(t, w.feed.list.Apply(revocation.Entry{Seq: 1, Kind: revocation.All, Before: 1000, Expires: time.Now().Add(time.Hour)}))
	if a, b := e.send(t, get(bearer(raw))).status, e.send(t, get(bearer(other))).status; a != 401 || b != 200 {
		t.Errorf("older session %d, younger %d", a, b)
	}
	check(t, w.feed.list.Apply(revocation.Entry{Seq: 2, Kind: revocation.Key, Value: signingKeys()[0].KID(), Expires: time.Now().Add(time.Hour)}))
	if got := e.send(t, get(bearer(other))); got.status != 401 || got.headers["X-Keyturn-Code"] != "revoked" {
		t.Errorf("revoked key: %+v", got)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	answer, err := http.DefaultTransport.RoundTrip(r)
	check(t, err)
	defer answer.Body.Close() //nolint:errcheck // read to the end
	body, err := io.ReadAll(answer.Body)
	check(t, err)
	return answer.StatusCode, string(body)
}

func TestInternalPort(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	base := "http://" + on.Internal.Addr().String()
	e := newEnvoy(t, on.GRPC.Addr().String())
	e.send(t, get(bearer(mint(t, signingKeys()[0]))))
	e.send(t, get())
	w.put(t, document(1, 0, signingKeys()[0]))
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/status": 200, "/metrics": 200, "/authz/nginx/-/default": 404} {
		if status, body := fetch(t, base+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	_, text := fetch(t, base+"/metrics")
	for _, line := range []string{
		`keyturn_decisions_total{protocol="grpc",reason="ok",result="allow"} 1`, `keyturn_decisions_total{protocol="grpc",reason="no_credential",result="deny"} 1`,
		`keyturn_check_duration_seconds_count{protocol="grpc"} 2`, `keyturn_snapshot_revision 1`, `keyturn_snapshot_epoch 1`, `keyturn_snapshot_refused 1`,
		`keyturn_snapshots_refused_total{reason="Incomplete"} 1`, `keyturn_revocations_stale 0`, `keyturn_revocations_loaded 1`, `keyturn_ready 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	_, text = fetch(t, base+"/status")
	for _, part := range []string{`"role":"edge"`, `"instance":"edge-0"`, `"tokenService":"shop/web"`, `"revision":1`, `"activeKid":"` + signingKeys()[0].KID(), `"loaded":true`, `"reason":"Incomplete"`} {
		if !strings.Contains(text, part) {
			t.Errorf("status lacks %s: %s", part, text)
		}
	}
	w.feed.set(false, false)
	if status, body := fetch(t, base+"/readyz"); status != 503 || !strings.Contains(body, "revocations") {
		t.Errorf("not loaded: %d %s", status, body)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel() // it takes the whole delay, which leaves a busy machine the time to ask within it
	w := newWorld(t)
	ran := make(chan struct{})
	on, stop := w.serve(t, Drain{Delay: 3 * time.Second, Grace: 20 * time.Second}, func(ctx context.Context) error {
		<-ctx.Done()
		close(ran)
		return ctx.Err()
	})
	e := newEnvoy(t, on.GRPC.Addr().String())
	raw := mint(t, signingKeys()[0])
	if e.send(t, get(bearer(raw))).status != 200 {
		t.Fatal("refused before")
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	eventually(t, "draining", func() bool { return w.Ready() != nil })
	if status, _ := fetch(t, "http://"+on.Internal.Addr().String()+"/readyz"); status != 503 {
		t.Errorf("readyz while draining: %d", status)
	}
	if got := e.send(t, get(bearer(raw))).status; got != 200 {
		t.Errorf("a check while draining: %d", got)
	}
	select {
	case err := <-ended:
		check(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("does not end")
	}
	<-ran
}

func TestServeEndsWithAFailedTask(t *testing.T) {
	w := newWorld(t)
	failed := make(chan struct{})
	_, stop := w.serve(t, Drain{Delay: time.Minute, Grace: time.Minute}, func(context.Context) error {
		defer close(failed)
		return fmt.Errorf("no feed")
	})
	<-failed
	if err := stop(); err == nil || !strings.Contains(err.Error(), "no feed") {
		t.Errorf("%v", err)
	}
}
