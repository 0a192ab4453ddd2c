//go:build realnode && linux

package rehearsal

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// maxRevocationReach is the promise: what is revoked is refused at every edge within it. For a key it counts from the write
// that takes it out of the ring, which the signers' change to the next key comes before.
const maxRevocationReach = time.Second

// statusOf asks a pod by its internal port.
func statusOf(ctx context.Context, pod *corev1.Pod) (status snapshot.Status, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(pod.Status.PodIP, "9090")+"/status", nil)
	if err != nil {
		return status, err
	}
	response, err := insideNode.Do(request)
	if err != nil {
		return status, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// untilAll returns when every pod's status was seen to be so.
func untilAll(t *testing.T, what string, pods []corev1.Pod, so func(snapshot.Status) bool) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for missing := slices.Clone(pods); len(missing) > 0; {
		status, err := statusOf(ctx, &missing[0])
		if err == nil && so(status) {
			missing = missing[1:]
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: after a minute %s says %+v (error %v)\n%s", what, missing[0].Name, status, err, kubectl(t, "get", "rev", "-n", stage.Namespace, "-o", "yaml"))
		}
	}
	return time.Now()
}

// testRevocation measures how long it takes until every edge refuses a user, and a key, from somebody's word on.
func testRevocation(t *testing.T) {
	edges := bothEdges(t)
	kubectl(t, "patch", "sks", stage.KeySet, "-n", stage.Namespace, "--type=merge", "-p", stage.FastRotation)
	settle(t)
	var users, words, burials []time.Duration
	for i := range 3 * rounds() {
		users = append(users, revokeUser(t, edges, i))
	}
	for i := range rounds() + 1 {
		word, burial := revokeKey(t, edges, i)
		words, burials = append(words, word), append(burials, burial)
	}
	figure(fmt.Sprintf("a user is revoked, until all %d edges refuse them (%d times)", len(edges), len(users)), "%s", medianAndWorst(users))
	figure(fmt.Sprintf("a key is revoked, until all %d edges refuse it (%d times)", len(edges), len(words)), "%s", medianAndWorst(words))
	figure("… of which since it left the ring", "%s", medianAndWorst(burials))
	if worst := max(slices.Max(users), slices.Max(burials)); worst >= maxRevocationReach {
		t.Errorf("a revocation reached every edge after %s, want less than %s", worst, maxRevocationReach)
	}
}

// applied is the highest number of a revocation that an edge knows.
func applied(t *testing.T, edges []corev1.Pod) (highest uint64) {
	t.Helper()
	for i := range edges {
		status, err := statusOf(t.Context(), &edges[i])
		if err != nil || status.Revocations == nil {
			t.Fatalf("%s: %+v (error %v)", edges[i].Name, status, err)
		}
		highest = max(highest, status.Revocations.Applied)
	}
	return highest
}

func declareRevocation(t *testing.T, name string, spec keyturnv1alpha1.RevocationSpec) (began time.Time) {
	t.Helper()
	spec.Reason = "a rehearsal"
	rev := &keyturnv1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Namespace: stage.Namespace, Name: name}, Spec: spec}
	began = time.Now()
	if err := theStage.Client.Create(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	return began
}

// enforcedSoon wants the status to say so, too.
func enforcedSoon(t *testing.T, name string) {
	t.Helper()
	await(t, name+" is Enforced", time.Minute, func(ctx context.Context) (string, error) {
		var rev keyturnv1alpha1.Revocation
		err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: name}, &rev)
		if meta.IsStatusConditionTrue(rev.Status.Conditions, keyturnv1alpha1.ConditionEnforced) {
			return "", err
		}
		return fmt.Sprintf("%+v", rev.Status), err
	})
}

func revokeUser(t *testing.T, edges []corev1.Pod, i int) time.Duration {
	t.Helper()
	user := theStage.User()
	tokens, answer, err := user.Login(t.Context(), alice, alicePassword)
	wantAnswer(t, "login", answer, err, http.StatusOK, "")
	before, name := applied(t, edges), fmt.Sprint("user-", i)
	began := declareRevocation(t, name, keyturnv1alpha1.RevocationSpec{User: &keyturnv1alpha1.UserRevocation{
		TokenServiceRef: keyturnv1alpha1.TokenServiceReference{Name: stage.Service}, Subject: "staff:alice",
	}})
	took := untilAll(t, name, edges, func(s snapshot.Status) bool { return s.Revocations != nil && s.Revocations.Applied > before }).Sub(began)
	for range 10 {
		answer, err = user.CallAs(t.Context(), "/orders", tokens.Access)
		wantAnswer(t, "a call of who is revoked", answer, err, http.StatusUnauthorized, "revoked")
	}
	enforcedSoon(t, name)
	return took
}

// revokeKey returns how long it took since it was said, and since the key left the ring.
func revokeKey(t *testing.T, edges []corev1.Pod, i int) (word, burial time.Duration) {
	t.Helper()
	set := &keyturnv1alpha1.SigningKeySet{}
	await(t, "a standby is ready", 2*time.Minute, func(ctx context.Context) (string, error) {
		err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.KeySet}, set)
		if !meta.IsStatusConditionTrue(set.Status.Conditions, keyturnv1alpha1.ConditionStandbyReady) {
			return "it is not", err
		}
		return "", err
	})
	user := theStage.User()
	tokens, answer, err := user.Login(t.Context(), bob, bobPassword)
	wantAnswer(t, "login", answer, err, http.StatusOK, "")
	before, name, kid := applied(t, edges), fmt.Sprint("key-", i), set.Status.ActiveKid
	began := declareRevocation(t, name, keyturnv1alpha1.RevocationSpec{Key: &keyturnv1alpha1.KeyRevocation{
		SigningKeySetRef: keyturnv1alpha1.SigningKeySetReference{Name: stage.KeySet}, Kid: kid,
	}})
	var buried time.Time
	var watching sync.WaitGroup
	watching.Go(func() { buried = untilBuried(t.Context(), kid) })
	end := untilAll(t, name, edges, func(s snapshot.Status) bool {
		return s.Epoch > 0 && !slices.Contains(s.KIDs, kid) || s.Revocations != nil && s.Revocations.Applied > before
	})
	watching.Wait()
	for range 10 {
		answer, err = user.CallAs(t.Context(), "/orders", tokens.Access)
		if err != nil || answer.Status != http.StatusUnauthorized {
			t.Errorf("a token of the revoked key gets %d %s (error %v)", answer.Status, answer.Code(), err)
		}
	}
	next, answer, err := user.Refresh(t.Context(), tokens.Refresh)
	wantAnswer(t, "refresh after the revocation of a key", answer, err, http.StatusOK, "")
	answer, err = user.CallAs(t.Context(), "/orders", next.Access)
	wantAnswer(t, "call after that", answer, err, http.StatusOK, "")
	enforcedSoon(t, name)
	return end.Sub(began), end.Sub(buried)
}

// untilBuried looks at the ring until the key has left it for being revoked.
func untilBuried(ctx context.Context, kid string) time.Time {
	owner := keysecret.Owner{Namespace: stage.Namespace, Name: stage.KeySet}
	for ctx.Err() == nil {
		var secret corev1.Secret
		if err := theStage.Client.Get(ctx, client.ObjectKey{Namespace: stage.Namespace, Name: keysecret.RingName(stage.KeySet)}, &secret); err == nil {
			ring, err := keysecret.DecodeRing(&secret, owner)
			if err == nil && slices.ContainsFunc(ring.Tombstones, func(s keys.Tombstone) bool { return s.KID == kid && s.State == keys.Revoked }) {
				return time.Now()
			}
		}
	}
	return time.Now()
}
