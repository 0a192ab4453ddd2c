//go:build realnode && linux

package rehearsal

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// maxRevocationReach is the promise: what is revoked is refused at every edge within it. For a key it counts from the write
// that takes it out of the ring, which the signers' change to the next key comes before.
//
// A kubelet that has just looked after a pod does so again only when it has listed all containers, once a second. So the promise
// is for what comes out of the blue, which the test waits for. And since a kubelet looks after each pod once a minute or so by
// itself, and machines of tests have other work, one of ten may take longer, up to what a TokenPolicy calls maxPropagation.
const (
	maxRevocationReach = time.Second
	maxPropagation     = 5 * time.Second
	calm               = 1500 * time.Millisecond
)

// revocationSamples is how often each kind is measured.
const revocationSamples = 10

// testRevocation measures how long it takes until every edge refuses a user, a session, and a key, from somebody's word on. While
// keys are revoked, clients call and refresh when they are told to: none is logged out.
func testRevocation(t *testing.T) {
	kubectl(t, "patch", "sks", stage.KeySet, "-n", stage.Namespace, "--type=merge", "-p", stage.FastRotation)
	settle(t)
	d := &distrust{edges: bothEdges(t), signers: signers(t), seen: watchRevocations(t)}
	for _, kind := range []string{"user", "session"} {
		for i := range revocationSamples * rounds() {
			d.seen.calm(t)
			d.revokeLogin(t, kind, fmt.Sprint(kind, "-", i))
		}
		keepsPromise(t, kind, d.tell(kind, ""))
	}
	for i := range revocationSamples * rounds() {
		d.revokeLogin(t, "session", fmt.Sprint("hasty-", i))
	}
	d.tell("session", " right after another")
	clients := startSessions(t, 6)
	for i := range revocationSamples * rounds() {
		d.revokeKey(t, i)
	}
	clients.end(t, len(d.marks))
	keepsPromise(t, "key", d.tell("key", ""))
}

func keepsPromise(t *testing.T, kind string, took []time.Duration) {
	t.Helper()
	late := slices.DeleteFunc(slices.Clone(took), func(d time.Duration) bool { return d < maxRevocationReach })
	if len(late) > len(took)/10 || slices.Max(took) >= maxPropagation {
		t.Errorf("of %d revocations of a %s these reached every edge after more than %s: %s", len(took), kind, maxRevocationReach, late)
	}
}

// signers lists the pods of the token service.
func signers(t *testing.T) (found []corev1.Pod) {
	t.Helper()
	for _, pod := range servingPods(t) {
		if pod.Labels[keyturnv1alpha1.LabelComponent] == keyturnv1alpha1.ComponentTokenService {
			found = append(found, pod)
		}
	}
	if len(found) == 0 {
		t.Fatal("no token service runs")
	}
	return found
}

// distrust revokes and collects how long it took.
type distrust struct {
	edges, signers []corev1.Pod
	seen           *milestones
	marks          []mark
}

// mark is one revocation: when it was said, and when each part of the way was done.
type mark struct {
	rev  *keyturnv1alpha1.Revocation
	said time.Time
	// changed is when another key has taken over, buried when the key left the ring: of a key only.
	changed, buried time.Time
	// written is when the first document with it was stored, told when the first pod was told of that.
	written, told time.Time
	// refused is when the last edge was seen to refuse it, enforced when the object's status said so.
	refused, enforced time.Time
}

// from is where the promise counts from.
func (m *mark) from() time.Time {
	if m.buried.IsZero() {
		return m.said
	}
	return m.buried
}

// tell prints the figures of a kind and returns those of what is promised.
func (d *distrust) tell(kind, when string) []time.Duration {
	row := func(what string, of func(*mark) time.Duration) (all []time.Duration) {
		for i := range d.marks {
			all = append(all, of(&d.marks[i]))
		}
		figure(what, "%s", medianAndWorst(all))
		return all
	}
	defer func() { d.marks = nil }()
	what := fmt.Sprintf("a %s is revoked%s, until all %d edges refuse it (%d times)", kind, when, len(d.edges), len(d.marks))
	row(what, func(m *mark) time.Duration { return m.refused.Sub(m.said) })
	if kind == "key" {
		row("… until the standby has taken over", func(m *mark) time.Duration { return m.changed.Sub(m.said) })
		row("… and then until every signer has, and the key leaves the ring", func(m *mark) time.Duration { return m.buried.Sub(m.changed) })
	}
	row("… and then until a document says so", func(m *mark) time.Duration { return m.written.Sub(m.from()) })
	row("… and then until a pod is told", func(m *mark) time.Duration { return m.told.Sub(m.written) })
	row("… and then until every edge refuses it", func(m *mark) time.Duration { return m.refused.Sub(m.told) })
	row("… and then until the object's status says so", func(m *mark) time.Duration { return m.enforced.Sub(m.refused) })
	if kind == "key" {
		what = "… since the key left the ring: promised"
	} else {
		what = "… all in all"
	}
	return row(what, func(m *mark) time.Duration { return m.refused.Sub(m.from()) })
}

// declare creates a Revocation.
func (d *distrust) declare(t *testing.T, name string, spec keyturnv1alpha1.RevocationSpec) *mark {
	t.Helper()
	spec.Reason = "a rehearsal"
	rev := &keyturnv1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Namespace: stage.Namespace, Name: name}, Spec: spec}
	m := &mark{rev: rev, said: time.Now()}
	if err := theStage.Client.Create(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	return m
}

// done waits until every edge refuses it and the status says so, and reads what the watches have seen.
func (d *distrust) done(t *testing.T, m *mark) {
	t.Helper()
	m.refused = d.untilRefused(t, m.rev)
	await(t, m.rev.Name+" is Enforced", time.Minute, func(ctx context.Context) (string, error) {
		err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: m.rev.Name}, m.rev)
		if meta.IsStatusConditionTrue(m.rev.Status.Conditions, keyturnv1alpha1.ConditionEnforced) {
			return "", err
		}
		return fmt.Sprintf("%+v", m.rev.Status), err
	})
	m.enforced = time.Now()
	d.seen.fill(t, m)
	d.marks = append(d.marks, *m)
}

// untilRefused returns when every edge was seen to refuse it: by its document, or by an entry with the number that the token
// service gave it.
func (d *distrust) untilRefused(t *testing.T, rev *keyturnv1alpha1.Revocation) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var number uint64
	for missing := slices.Clone(d.edges); ; {
		for i := range d.signers {
			if status, err := statusOf(ctx, &d.signers[i]); err == nil && number == 0 {
				number = status.Revoked[string(rev.UID)]
			}
		}
		status, err := statusOf(ctx, &missing[0])
		if err == nil && refuses(&status, rev, number) {
			if missing = missing[1:]; len(missing) == 0 {
				return time.Now()
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: after a minute %s says %+v (error %v)\n%s", rev.Name, missing[0].Name, status, err, kubectl(t, "get", "rev", "-n", stage.Namespace, "-o", "yaml"))
		}
	}
}

func refuses(edge *snapshot.Status, rev *keyturnv1alpha1.Revocation, number uint64) bool {
	if key := rev.Spec.Key; key != nil && edge.Epoch > 0 && !slices.Contains(edge.KIDs, key.Kid) {
		return true
	}
	return number != 0 && edge.Revocations != nil && edge.Revocations.Loaded && edge.Revocations.Applied >= number
}

// revokeLogin ends one session of a user, or all.
func (d *distrust) revokeLogin(t *testing.T, kind, name string) {
	t.Helper()
	user := theStage.User()
	tokens, answer, err := user.Login(t.Context(), alice, alicePassword)
	wantAnswer(t, "login", answer, err, http.StatusOK, "")
	service := keyturnv1alpha1.TokenServiceReference{Name: stage.Service}
	spec := keyturnv1alpha1.RevocationSpec{User: &keyturnv1alpha1.UserRevocation{TokenServiceRef: service, Subject: "staff:alice"}}
	if kind == "session" {
		spec = keyturnv1alpha1.RevocationSpec{Session: &keyturnv1alpha1.SessionRevocation{TokenServiceRef: service, ID: sessionOf(t, tokens.Access)}}
	}
	d.done(t, d.declare(t, name, spec))
	for range 10 {
		answer, err = user.CallAs(t.Context(), "/orders", tokens.Access)
		wantAnswer(t, "a call of who is revoked", answer, err, http.StatusUnauthorized, "revoked")
	}
	_, answer, err = user.Refresh(t.Context(), tokens.Refresh)
	if err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("a refresh of who is revoked: status %d %s (error %v)", answer.Status, answer.Code(), err)
	}
}

// revokeKey revokes the key that signs.
func (d *distrust) revokeKey(t *testing.T, i int) {
	t.Helper()
	set := &keyturnv1alpha1.SigningKeySet{}
	await(t, "a standby is ready", 2*time.Minute, func(ctx context.Context) (string, error) {
		err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.KeySet}, set)
		if !meta.IsStatusConditionTrue(set.Status.Conditions, keyturnv1alpha1.ConditionStandbyReady) {
			return "it is not", err
		}
		return "", err
	})
	d.seen.calm(t)
	user := theStage.User()
	tokens, answer, err := user.Login(t.Context(), bob, bobPassword)
	wantAnswer(t, "login", answer, err, http.StatusOK, "")
	d.done(t, d.declare(t, fmt.Sprint("key-", i), keyturnv1alpha1.RevocationSpec{Key: &keyturnv1alpha1.KeyRevocation{
		SigningKeySetRef: keyturnv1alpha1.SigningKeySetReference{Name: stage.KeySet}, Kid: set.Status.ActiveKid,
	}}))
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
}
