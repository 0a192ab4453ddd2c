package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// TestRestoredBackup brings ring and status back from before a rotation, as a backup does. The replicas hold a newer epoch
// and give it away: every known key verifies on, a fresh one takes over, and the status says what happened.
func TestRestoredBackup(t *testing.T) {
	w := settled(t)
	var backup corev1.Secret
	w.get(&backup, keysecret.RingName(setName))
	status := w.set().Status
	first, second := w.ring().Active().KID, w.ring().Standby().KID
	w.step(25 * time.Hour)
	w.request("now")
	w.state(second, keys.Active)
	w.eventually("settle", w.unhealthy)
	epoch := w.ring().Epoch

	w.fleet.holds(first, second)
	w.stopManager()
	a := &attack{world: w}
	set := w.set()
	set.Status = status
	if err := admin.Status().Update(w.ctx, set); err != nil {
		t.Fatal(err)
	}
	a.editRing(func(s *corev1.Secret) { s.Data = backup.Data })
	w.startManager()
	left := damageMargin
	w.eventually("a fresh key takes over", func() string {
		w.settleHeir(&left)
		ring := w.ring()
		if active := ring.Active(); active == nil || active.KID == first || active.KID == second {
			return "no fresh key signs"
		}
		if bad := want(w.set().Status.Conditions, "RestoreDetected", "True RingRestored"); bad != "" {
			return bad
		}
		return w.unhealthy()
	})
	ring := w.ring()
	if ring.Epoch <= epoch || ring.Key(first) == nil || ring.Key(second) == nil {
		t.Errorf("epoch %d after %d, keys %+v", ring.Epoch, epoch, ring.Keys)
	}
	w.fleet.holds()
	w.step(3 * time.Hour)
	w.eventually("the restore is over with the keys that it brought back", func() string {
		if bad := want(w.set().Status.Conditions, "RestoreDetected", "False AsExpected"); bad != "" {
			return bad
		}
		return w.unhealthy()
	})
}

// TestRestoredAfterADocument: the manager was killed after it had told the edges of an epoch and before it recorded that in the
// status; then the ring was lost, and no replica answers. The document alone knows the epoch, and it does not come again.
func TestRestoredAfterADocument(t *testing.T) {
	w := settled(t)
	w.stopManager()
	told := int64(0)
	a := &attack{world: w}
	a.forgeEdge(func(doc *snapshot.Edge) {
		doc.Keys.Epoch += 5
		told = doc.Keys.Epoch
	})
	for _, component := range []string{"edge", "signer"} {
		w.fleet.set(component, fault{unreachable: true})
	}
	w.remove(a.ringSecret())
	w.startManager()
	w.eventually("the ring is rebuilt", func() string {
		ring := w.ring()
		switch {
		case ring == nil:
			return "there is none"
		case ring.Epoch <= told:
			t.Fatalf("it begins at epoch %d, the edges were told of %d", ring.Epoch, told)
		}
		return ""
	})
}
