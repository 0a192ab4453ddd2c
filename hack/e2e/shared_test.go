package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/hack/stage"
)

// sharedNamespace has a TokenService of three replicas on Redis.
const sharedNamespace = "shared"

const storePassword = "the-password-of-the-session-store"

// shared is the samples on a Redis of its own, behind an nginx of its own.
func shared(t *testing.T) (*redis.Server, *stage.Front) {
	t.Helper()
	program := must[redis.Program](t)(redis.Find(t.Context(), os.Stderr))
	server := must[*redis.Server](t)(program.Start(t.Context(), t.TempDir(), redis.Options{
		Directives: append([]string{"requirepass " + storePassword}, redis.Durable...),
	}))
	t.Cleanup(server.Stop)
	secretsSeen.add("password of the store", storePassword)

	manifests := must[string](t)(theStage.Kubectl(t.Context(), "kustomize", "config/samples"))
	for _, edit := range [][2]string{
		{"namespace: " + stage.Namespace, "namespace: " + sharedNamespace},
		{"name: " + stage.Namespace + "\n", "name: " + sharedNamespace + "\n"},
		{"replicas: 1\n", "replicas: 3\n"},
		{"    embedded:\n      size: 1Gi\n", "    redis:\n      addresses:\n      - " + server.Address() + "\n      secretRef:\n        name: sessions\n"},
		{"limit: 10\n", "limit: 10000\n"},
	} {
		if !strings.Contains(manifests, edit[0]) {
			t.Fatalf("the samples have no %q: bring this test along", edit[0])
		}
		manifests = strings.ReplaceAll(manifests, edit[0], edit[1])
	}
	manifests += "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: sessions, namespace: " + sharedNamespace + "}\nstringData: {password: " + storePassword + "}\n"
	must[string](t)(theStage.Apply(t.Context(), manifests))
	t.Cleanup(func() {
		if _, err := theStage.Kubectl(context.Background(), "delete", "namespace", sharedNamespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	if _, err := theStage.Kubectl(t.Context(), "wait", "-n", sharedNamespace, "--for=condition=Ready", "--timeout=110s", "tokenservice/"+stage.Service); err != nil {
		state, _ := theStage.Kubectl(t.Context(), "get", "-n", sharedNamespace, "sks,tpol,tsvc,deploy,pods,events", "-o", "wide")
		t.Fatalf("%v\n%s", err, state)
	}
	front := must[*stage.Front](t)(theStage.StartFront(t.Context(), sharedNamespace, stage.Service))
	t.Cleanup(front.Stop)
	awaitFront(t, front)
	return server, front
}

// awaitFront waits until what stands behind a front answers through it. The operator asks the pods themselves; those who
// route to them hear of them on their own.
func awaitFront(t *testing.T, front *stage.Front) {
	t.Helper()
	user := front.User()
	for path, status := range map[string]int{"/.well-known/jwks.json": http.StatusOK, "/orders": http.StatusUnauthorized} {
		answer := answered(t, func(ctx context.Context) (stage.Answer, error) { return user.Call(ctx, path) })
		if answer.Status != status {
			t.Fatalf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
}

// TestSharedStore restarts three token services one after another, and then the edges, under users who log in, call,
// refresh and log out without a pause: nobody notices.
func TestSharedStore(t *testing.T) {
	server, front := shared(t)

	t.Run("a session is every replica's", func(t *testing.T) {
		user := front.User()
		propagating(t, user)
		for range 12 { // nginx and the Service spread them
			user.Forget()
			tokens := login(t, user, alice, alicePassword)
			user.Forget()
			next, answer, err := user.Refresh(t.Context(), tokens.Refresh)
			wantAnswer(t, "refresh", answer, err, http.StatusOK, "")
			remember(next)
			user.Forget()
			answer, err = user.Logout(t.Context(), next.Refresh)
			wantAnswer(t, "logout", answer, err, http.StatusOK, "")
			if !propagated(answer) {
				t.Errorf("the logout says %s", answer.Body)
			}
			answer, err = user.CallAs(t.Context(), "/orders", next.Access)
			wantAnswer(t, "a call after the logout", answer, err, http.StatusUnauthorized, "revoked")
		}
	})
	t.Run("a rolling restart", func(t *testing.T) {
		crowd := newCrowd(t, front, 8)
		for _, workload := range []string{"deployment/web-tokenservice", "deployment/web-extauthz"} {
			must[string](t)(theStage.Kubectl(t.Context(), "rollout", "restart", "-n", sharedNamespace, workload))
			must[string](t)(theStage.Kubectl(t.Context(), "rollout", "status", "-n", sharedNamespace, workload, "--timeout=120s"))
		}
		done, refused, first := crowd.stop()
		t.Logf("%d logins, calls, refreshes and logouts during two rolling restarts, %d refused", done, refused)
		if refused > 0 || done < 100 {
			t.Errorf("%d of %d refused, the first: %s", refused, done, first)
		}
	})
	t.Run("the store goes and comes back", func(t *testing.T) {
		user := front.User()
		tokens := login(t, user, alice, alicePassword)
		server.Kill()
		begun := time.Now()
		_, answer, err := user.Login(t.Context(), alice, alicePassword)
		wantAnswer(t, "a login without the store", answer, err, http.StatusServiceUnavailable, "store_unavailable")
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %s to say so", took)
		}
		answer, err = user.CallAs(t.Context(), "/orders", tokens.Access)
		wantAnswer(t, "a call without the store", answer, err, http.StatusOK, "")
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		eventually(t, func(ctx context.Context) (string, error) {
			_, answer, err := user.Login(ctx, alice, alicePassword)
			if err != nil || answer.Status != http.StatusOK {
				return fmt.Sprintf("login: %d %s", answer.Status, answer.Code()), err
			}
			return "", nil
		})
		t.Logf("logins work again %s after the store is back", time.Since(begun).Round(10*time.Millisecond))
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("recovery took %s, want under 5s", took)
		}
		// A login works at one replica. The next may not have found the store yet, and says 503.
		answer = answered(t, func(ctx context.Context) (answer stage.Answer, err error) {
			_, answer, err = user.Refresh(ctx, tokens.Refresh)
			return answer, err
		})
		wantAnswer(t, "the session from before", answer, nil, http.StatusOK, "")
	})
}

// crowd are users who do everything, again and again.
type crowd struct {
	end           context.CancelFunc
	all           sync.WaitGroup
	done, refused atomic.Int64
	first         atomic.Pointer[string]
}

func newCrowd(t *testing.T, front *stage.Front, users int) *crowd {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	c := &crowd{end: end}
	for range users {
		user := front.User()
		c.all.Go(func() {
			for ctx.Err() == nil {
				c.round(ctx, user)
			}
		})
	}
	return c
}

// round is one session from login to logout.
func (c *crowd) round(ctx context.Context, user *stage.User) {
	tokens, answer, err := user.Login(ctx, alice, alicePassword)
	if !c.count(ctx, "login", answer, err) {
		return
	}
	for range 5 {
		answer, err = user.CallAs(ctx, "/orders", tokens.Access)
		c.count(ctx, "call", answer, err)
		next, answer, err := user.Refresh(ctx, tokens.Refresh)
		if !c.count(ctx, "refresh", answer, err) {
			return
		}
		tokens = next
	}
	answer, err = user.Logout(ctx, tokens.Refresh)
	c.count(ctx, "logout", answer, err)
}

func (c *crowd) count(ctx context.Context, what string, answer stage.Answer, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	c.done.Add(1)
	if err == nil && answer.Status == http.StatusOK {
		return true
	}
	c.refused.Add(1)
	text := fmt.Sprintf("%s: %d %s %v", what, answer.Status, answer.Code(), err)
	c.first.CompareAndSwap(nil, &text)
	return false
}

func (c *crowd) stop() (done, refused int64, first string) {
	c.end()
	c.all.Wait()
	if p := c.first.Load(); p != nil {
		first = *p
	}
	return c.done.Load(), c.refused.Load(), first
}
