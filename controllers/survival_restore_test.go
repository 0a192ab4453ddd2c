package controllers

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// backup is what a backup of the cluster has of a set: everything that the API server stores of it.
type backup struct {
	secrets []corev1.Secret
	status  keyturnv1alpha1.SigningKeySetStatus
}

func (w *world) backup() backup {
	w.Helper()
	return backup{secrets: w.backedUp(), status: w.set().Status}
}

// backedUp are the Secrets that the set and its documents consist of.
func (w *world) backedUp() []corev1.Secret {
	w.Helper()
	var all corev1.SecretList
	if err := admin.List(w.ctx, &all, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(s corev1.Secret) bool {
		return s.Type != keysecret.KeyType && s.Type != keysecret.RingType && s.Name != edgeSecret && s.Name != issuerSecret
	})
}

// restore brings the set back to the backup: what came later is gone, what was edited is as it was. No manager may run.
func (w *world) restore(from backup) {
	w.Helper()
	had := map[string]corev1.Secret{}
	for _, s := range from.secrets {
		had[s.Name] = s
	}
	for _, s := range w.backedUp() {
		if _, kept := had[s.Name]; !kept {
			w.remove(&s)
		}
	}
	for name, s := range had {
		var now corev1.Secret
		if !w.get(&now, name) {
			s.ResourceVersion, s.UID = "", ""
			w.create(&s)
		} else if !equalData(now.Data, s.Data) {
			edit(w, &now, func(n *corev1.Secret) { n.Data = s.Data })
		}
	}
	set := w.set()
	set.Status = from.status
	if err := admin.Status().Update(w.ctx, set); err != nil {
		w.Fatal(err)
	}
}

// TestRestoredBeforeTwoRotations: the backup does not know the keys that sign and signed last, their Secrets are gone, and so
// are the documents that name them. The replicas hold their public halves: they go on verifying, never sign again, and a fresh
// key takes over.
func TestRestoredBeforeTwoRotations(t *testing.T) {
	w := settled(t)
	old := w.backup()
	known := w.ring()
	for _, ask := range []string{"first", "second"} {
		next := w.ring().Standby().KID
		w.step(25 * time.Hour)
		w.request(ask)
		w.state(next, keys.Active)
		w.eventually("settle", w.unhealthy)
	}
	before := w.ring()
	signing := before.Active().KID
	if known.Key(signing) != nil {
		t.Fatal("the backup knows the key that signs")
	}
	live := w.lasting(before)
	w.fleet.holds(live...)
	w.stopManager()
	w.restore(old)
	w.startManager()
	left := damageMargin
	w.eventually("a fresh key takes over", func() string {
		w.settleHeir(&left)
		active := w.ring().Active()
		if active == nil || before.Key(active.KID) != nil || known.Key(active.KID) != nil {
			return "no fresh key signs"
		}
		if bad := want(w.set().Status.Conditions, "RestoreDetected", "True RingRestored"); bad != "" {
			return bad
		}
		return w.unhealthy()
	})
	ring := w.ring()
	for _, kid := range live {
		if k := ring.Key(kid); k == nil || k.State != keys.Retiring {
			t.Errorf("key %s, with which tokens are signed, is %+v", short(kid), k)
		}
	}
	if ring.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d", ring.Epoch, before.Epoch)
	}
}

// TestForcedRecreation: somebody takes the finalizer away and deletes a set in use, then applies it again. The keys are taken up
// again, and no token that was signed before is refused.
func TestForcedRecreation(t *testing.T) {
	w := settled(t)
	before := w.ring()
	live, _ := kids(before)
	w.fleet.holds(live...)
	uid := w.set().UID
	w.stopManager()
	w.remove(w.newSet())
	edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { s.Finalizers = nil })
	w.create(w.newSet())
	w.startManager()
	w.eventually("the keys are taken up again", func() string {
		set := w.set()
		if set.UID == uid || w.ring() == nil || w.ring().Active() == nil {
			return "there is no new set with keys"
		}
		if w.ring().Active().KID != before.Active().KID {
			t.Fatalf("another key signs: %s", short(w.ring().Active().KID))
		}
		if !slices.Contains(w.events(), keyturnv1alpha1.ReasonRingAdopted) {
			return "nobody is told"
		}
		return w.unhealthy()
	})
	if ring := w.ring(); ring.Epoch < before.Epoch || ring.Key(before.Standby().KID) == nil {
		t.Errorf("the ring that was taken up: %+v", ring)
	}
}

// TestLostAltogether: set, ring and private halves are gone at once while the replicas run, and the set is applied again. What the
// replicas hold verifies on, a fresh key takes over, and the epoch does not fall.
func TestLostAltogether(t *testing.T) {
	w := settled(t)
	before := w.ring()
	w.fleet.holds(before.Active().KID)
	w.stopManager()
	w.remove(w.newSet())
	edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { s.Finalizers = nil })
	for _, s := range w.backedUp() {
		if s.Name != edgeSecret && s.Name != issuerSecret {
			w.remove(&s)
		}
	}
	w.create(w.newSet())
	w.startManager()
	left := damageMargin
	w.eventually("a fresh key takes over", func() string {
		w.settleHeir(&left)
		if ring := w.ring(); ring == nil || ring.Active() == nil || before.Key(ring.Active().KID) != nil {
			return "no fresh key signs"
		}
		return w.unhealthy()
	})
	if ring := w.ring(); ring.Epoch <= before.Epoch || ring.Key(before.Active().KID) == nil {
		t.Errorf("epoch %d after %d, keys %+v", ring.Epoch, before.Epoch, ring.Keys)
	}
}

// TestDestroyedAndRecreated: with Destroy the keys of a set are gone for good: one of the same name begins with keys of its own.
func TestDestroyedAndRecreated(t *testing.T) {
	w := newWorld(t)
	create := func(but []string) []string {
		set := w.newSet()
		set.Spec.DeletionPolicy = keyturnv1alpha1.DeletionDestroy
		w.create(set)
		var all []string
		w.eventually("the set has keys of its own", func() string {
			ring := w.ring()
			if ring == nil || ring.Active() == nil || ring.Standby() == nil {
				return "it has none"
			}
			_, all = kids(ring)
			for _, kid := range all {
				if slices.Contains(but, kid) {
					t.Fatalf("it has key %s of the old one", short(kid))
				}
			}
			return badKeyStatus(w.set().Status.Keys, ring)
		})
		return all
	}
	old := create(nil)
	w.remove(w.newSet())
	w.gone(w.newSet(), func() bool { return w.get(&keyturnv1alpha1.SigningKeySet{}, setName) })
	create(old)
	if slices.Contains(w.events(), keyturnv1alpha1.ReasonRingAdopted) {
		t.Error("something of the old set was adopted")
	}
}

// TestSwappedTenants: two tenants have a set of the same name each. Somebody swaps their rings, then the private halves with
// which they sign. Neither ever takes a key of the other's for its own.
func TestSwappedTenants(t *testing.T) {
	w := newQuietWorld(t)
	other := newNamespace(t)
	w.elsewhere = []string{other}
	w.startManager()
	w.declare()
	theirs := w.newSet()
	theirs.Namespace = other
	w.create(theirs)
	neighbour := &world{T: t, ctx: w.ctx, ns: other, clock: w.clock, fleet: w.fleet}
	w.eventually("both settle", func() string {
		if ring := neighbour.ring(); ring == nil || ring.Active() == nil || ring.Standby() == nil {
			return "the neighbour has no keys"
		}
		return w.unhealthy()
	})
	_, ours := kids(w.ring())
	_, foreign := kids(neighbour.ring())
	apart := func() string {
		for side, forbidden := range map[*world][]string{w: foreign, neighbour: ours} {
			ring := side.ring()
			if ring == nil || ring.Active() == nil || ring.Standby() == nil {
				return "a tenant has no keys"
			}
			for _, kid := range forbidden {
				if ring.Key(kid) != nil {
					t.Fatalf("namespace %s has key %s of the other tenant", side.ns, short(kid))
				}
			}
		}
		return w.unhealthy()
	}
	w.fleet.holds(w.ring().Active().KID)
	a, b := &attack{world: w, before: w.ring()}, &attack{world: neighbour, before: neighbour.ring()}
	swap(t, a, b, keysecret.RingName(setName), false)
	w.eventually("swapped rings", apart)
	swap(t, a, b, keysecret.KeyName(setName, w.ring().Active().Sequence), true)
	left := damageMargin
	w.eventually("swapped private halves", func() string {
		w.settleHeir(&left)
		if w.ring() != nil && w.ring().Active() != nil && w.ring().Active().KID == a.before.Active().KID {
			return "a key signs whose private half is the other tenant's"
		}
		return apart()
	})
}

// swap exchanges the contents of two Secrets of the same name. Immutable ones are made anew, as their thief would.
func swap(t *testing.T, a, b *attack, name string, anew bool) {
	t.Helper()
	var left, right corev1.Secret
	if !a.get(&left, name) || !b.get(&right, name) {
		t.Fatalf("a tenant has no Secret %s", name)
	}
	write := func(to *attack, current, content *corev1.Secret) {
		if !anew {
			edit(to.world, current, func(s *corev1.Secret) { s.Data = content.Data })
			return
		}
		to.remove(current)
		to.create(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: to.ns, Name: name, Labels: content.Labels, Annotations: content.Annotations},
			Type:       content.Type, Data: content.Data, Immutable: content.Immutable,
		})
	}
	l, r := left.DeepCopy(), right.DeepCopy()
	write(a, &left, r)
	write(b, &right, l)
}

// TestUsable: a key signs on while the ring has no Active one if a token service uses it, or if every replica knows it.
func TestUsable(t *testing.T) {
	signer := func(active string, kids ...string) replica {
		return replica{signer: true, status: &snapshot.Status{ActiveKID: active, KIDs: kids}}
	}
	edge := func(kids ...string) replica { return replica{status: &snapshot.Status{KIDs: kids}} }
	for name, row := range map[string]struct {
		replicas []replica
		want     bool
	}{
		"no replica runs":              {nil, true},
		"in use":                       {[]replica{signer("a", "a"), edge("b"), {}}, true},
		"known to all":                 {[]replica{signer("b", "a", "b"), edge("a", "b")}, true},
		"unknown to an edge":           {[]replica{signer("b", "a", "b"), edge("b")}, false},
		"unknown to a signer":          {[]replica{signer("b", "b"), edge("a", "b")}, false},
		"an edge cannot be asked":      {[]replica{signer("b", "a", "b"), edge("a"), {}}, false},
		"an edge without any document": {[]replica{edge()}, false},
	} {
		if got := usable(row.replicas, "a"); got != row.want {
			t.Errorf("%s: %t, want %t", name, got, row.want)
		}
	}
}

// loadedByAll tells that no replica is waited for.
func (w *world) loadedByAll() bool {
	return len(w.set().Status.Propagation.WaitingFor) == 0
}
