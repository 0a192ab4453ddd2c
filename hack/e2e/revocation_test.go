package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
)

// revoke does what somebody on call does, and returns when the command says that every edge refuses it.
func revoke(ctx context.Context, t *testing.T, args ...string) {
	t.Helper()
	began := time.Now()
	args = append([]string{"revoke"}, append(args, "--reason", "a test", "-n", stage.Namespace, "--timeout", "60s")...)
	out, err := theStage.Plugin(ctx, args...)
	if err != nil {
		t.Errorf("%v: %v\n%s", args, err, out)
		return
	}
	t.Logf("%s, as the command has it: %s", strings.Join(args[:3], " "), time.Since(began).Round(10*time.Millisecond))
}

// refused calls with a token until both edges must have seen it. There is no wait: the command has returned.
func refused(t *testing.T, access string) {
	t.Helper()
	for range 10 {
		user := theStage.User()
		for range 4 {
			answer, err := user.CallAs(t.Context(), "/orders", access)
			if err != nil || answer.Status != http.StatusUnauthorized {
				t.Fatalf("a revoked token gets %d %s (error %v)", answer.Status, answer.Code(), err)
			}
		}
		user.Forget()
	}
}

// ended wants a session to be over, for calls and for refreshes.
func ended(t *testing.T, who string, tokens stage.Tokens) {
	t.Helper()
	refused(t, tokens.Access)
	_, answer, err := theStage.User().Refresh(t.Context(), tokens.Refresh)
	if err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("%s refreshes after the revocation: %d %s (error %v)", who, answer.Status, answer.Code(), err)
	}
}

// goesOn wants a session to be good, and returns its next tokens.
func goesOn(t *testing.T, who string, tokens stage.Tokens) stage.Tokens {
	t.Helper()
	user := theStage.User()
	next, answer, err := user.Refresh(t.Context(), tokens.Refresh)
	wantAnswer(t, "refresh of "+who, answer, err, http.StatusOK, "")
	remember(next)
	for range 20 {
		answer, err = user.CallAs(t.Context(), "/orders", next.Access)
		wantAnswer(t, "call of "+who, answer, err, http.StatusOK, "")
	}
	return next
}

func sidOf(t *testing.T, access string) string {
	t.Helper()
	raw := must[[]byte](t)(base64.RawURLEncoding.DecodeString(payload(access)))
	var claims struct {
		Session string `json:"sid"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil || claims.Session == "" {
		t.Fatalf("no sid (error %v)", err)
	}
	return claims.Session
}

func kidOf(t *testing.T, access string) string {
	t.Helper()
	head, _, _ := strings.Cut(access, ".")
	raw := must[[]byte](t)(base64.RawURLEncoding.DecodeString(head))
	var header struct {
		KID string `json:"kid"`
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	return header.KID
}

// TestRevokeUser locks one user out, and no other.
func TestRevokeUser(t *testing.T) {
	user := theStage.User()
	phone, laptop, bobs := login(t, user, alice, alicePassword), login(t, user, alice, alicePassword), login(t, user, bob, bobPassword)
	revoke(t.Context(), t, "user", stage.Service, "staff:alice")
	ended(t, "alice's phone", phone)
	ended(t, "alice's laptop", laptop)
	goesOn(t, "bob", bobs)
	goesOn(t, "alice, who logged in again", login(t, user, alice, alicePassword))
}

// TestRevokeSession ends one session of a user who has two.
func TestRevokeSession(t *testing.T) {
	user := theStage.User()
	phone, laptop := login(t, user, alice, alicePassword), login(t, user, alice, alicePassword)
	revoke(t.Context(), t, "session", stage.Service, sidOf(t, phone.Access))
	ended(t, "alice's phone", phone)
	goesOn(t, "alice's laptop", laptop)
}

// TestRevokeAll makes everybody log in again, once: not a second time when the token service starts again.
func TestRevokeAll(t *testing.T) {
	user := theStage.User()
	alices, bobs := login(t, user, alice, alicePassword), login(t, user, bob, bobPassword)
	revoke(t.Context(), t, "all", stage.Service)
	ended(t, "alice", alices)
	ended(t, "bob", bobs)
	alices, bobs = login(t, user, alice, alicePassword), login(t, user, bob, bobPassword)
	kill(t, stage.Namespace, victims[0].labels)
	eventually(t, func(ctx context.Context) (string, error) {
		next, answer, err := user.Refresh(ctx, alices.Refresh)
		if err != nil || answer.Status != http.StatusOK {
			return fmt.Sprintf("alice refreshes: %d %s", answer.Status, answer.Code()), err
		}
		alices = next
		return "", nil
	})
	goesOn(t, "alice", alices)
	goesOn(t, "bob", bobs)
}

// TestRevokeKey takes the key out of use that signs, in peace and with the manager killed on the way: its tokens are refused
// everywhere, it is published no more, and every session goes on after one refresh.
func TestRevokeKey(t *testing.T) {
	fast(t)
	t.Run("in peace", func(t *testing.T) { revokeKey(t, func() {}) })
	t.Run("manager killed", func(t *testing.T) { revokeKey(t, func() { kill(t, victims[2].namespace, victims[2].labels) }) })
}

// revokeKey revokes the key that signs; something happens as soon as somebody has said so.
func revokeKey(t *testing.T, happens func()) {
	t.Helper()
	eventually(t, inOrder)
	user := theStage.User()
	alices, bobs := login(t, user, alice, alicePassword), login(t, user, bob, bobPassword)
	leaked := kidOf(t, alices.Access)
	before := liveRing(t)
	if before.Active().KID != leaked || before.Standby() == nil {
		t.Fatalf("the ring has %s", states(before.Keys))
	}
	began := time.Now()
	var command sync.WaitGroup
	command.Go(func() { revoke(t.Context(), t, "key", stage.KeySet, leaked[:8]) })
	eventually(t, func(ctx context.Context) (string, error) {
		var all keyturnv1alpha1.RevocationList
		err := theStage.Client.List(ctx, &all, client.InNamespace(stage.Namespace))
		for i := range all.Items {
			if key := all.Items[i].Spec.Key; key != nil && key.Kid == leaked {
				return "", nil
			}
		}
		return "nobody has asked for it", err
	})
	happens()
	command.Wait()
	t.Logf("a key was refused everywhere %s after somebody said so", time.Since(began).Round(10*time.Millisecond))
	refused(t, alices.Access)
	refused(t, bobs.Access)
	for who, tokens := range map[string]stage.Tokens{"alice": alices, "bob": bobs} {
		if next := goesOn(t, who, tokens); kidOf(t, next.Access) == leaked {
			t.Errorf("%s still gets tokens of the key", who)
		}
	}
	buried(t, before, leaked)
	eventually(t, inOrder)
}

// buried wants a key to be nowhere, the standby of before in its place, and every revocation enforced.
func buried(t *testing.T, before *keys.Ring, leaked string) {
	t.Helper()
	after := liveRing(t)
	if after.Key(leaked) != nil || after.Active() == nil || after.Active().KID != before.Standby().KID {
		t.Errorf("the ring has %s", states(after.Keys))
	}
	// It need not be the last: a key that retired long ago may have been buried since.
	if !slices.ContainsFunc(after.Tombstones, func(stone keys.Tombstone) bool { return stone.KID == leaked && stone.State == keys.Revoked }) {
		t.Errorf("the tombstones are %+v", after.Tombstones)
	}
	if answer, err := theStage.User().Call(t.Context(), "/.well-known/jwks.json"); err != nil || answer.Status != http.StatusOK || strings.Contains(string(answer.Body), leaked) {
		t.Errorf("the key is published: %d (error %v)", answer.Status, err)
	}
	var all keyturnv1alpha1.RevocationList
	if err := theStage.Client.List(t.Context(), &all, client.InNamespace(stage.Namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		if !meta.IsStatusConditionTrue(all.Items[i].Status.Conditions, keyturnv1alpha1.ConditionEnforced) {
			t.Errorf("%s is not enforced: %+v", all.Items[i].Name, all.Items[i].Status)
		}
	}
}
