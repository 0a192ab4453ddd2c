package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// forgeEpoch feigns a restore: a higher epoch and a key of the attacker's in the edges' document, beside the good ones or in
// place of them.
func (a *attack) forgeEpoch(alone bool, epoch int64) {
	a.Helper()
	a.forgeEdge(func(doc *snapshot.Edge) {
		doc.Revision++
		doc.Keys.Epoch = epoch
		if alone {
			doc.Keys.Keys, doc.Keys.Active = nil, a.foreign.KID()
		}
		doc.Keys.Keys = append(doc.Keys.Keys, snapshot.Key{KID: a.foreign.KID(), Algorithm: "ES256", JWK: a.foreign.Public().JWK()})
	})
}

// intact fails at once if the ring has the attacker's key, or has lost one of its own.
func (a *attack) intact(live []string) {
	a.Helper()
	ring := a.ring()
	if ring == nil {
		return
	}
	now, all := kids(ring)
	if slices.Contains(all, a.foreign.KID()) {
		a.Fatal("the ring holds the attacker's key")
	}
	for _, kid := range live {
		if !slices.Contains(now, kid) {
			a.Fatalf("key %s was buried: %+v", short(kid), ring.Tombstones)
		}
	}
}

// freed says what the edges' document has yet of the attacker's, or lacks.
func (a *attack) freed(live []string) string {
	edge, err := a.edgeDocument()
	has := func(kid string) bool {
		return slices.ContainsFunc(edge.Keys.Keys, func(k snapshot.Key) bool { return k.KID == kid })
	}
	switch {
	case err != nil || has(a.foreign.KID()) || edge.Keys.Epoch <= a.before.Epoch+1:
		return "the attacker's document is in force"
	case slices.ContainsFunc(live, func(kid string) bool { return !has(kid) }):
		return "the edges lack a good key"
	}
	return ""
}

// TestForgedEpoch: who can write the edges' document, and nothing else, feigns a restore. The edges believe it for a moment, the
// ring never does: neither does the attacker's key come in, nor does a good one go.
func TestForgedEpoch(t *testing.T) {
	for name, row := range map[string]struct {
		alone, silent, forLong bool
		epoch                  int64 // 0: two more than the ring's
	}{
		"a key added":                             {},
		"the highest epoch that is believed":      {epoch: believedEnd - 1},
		"good keys dropped":                       {alone: true},
		"while no token service answers":          {alone: true, silent: true},
		"while no token service answers for days": {alone: true, silent: true, forLong: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			a := w.attack()
			live, _ := kids(a.before)
			if !row.alone {
				w.fleet.holds(live...)
			}
			w.stopManager() // else it mends the document before an edge has read it
			w.fleet.set("signer", fault{unreachable: row.silent})
			epoch := row.epoch
			if epoch == 0 {
				epoch = a.before.Epoch + 2
			}
			a.forgeEpoch(row.alone, epoch)
			w.readAll()
			w.startManager()
			if row.silent {
				w.eventually("the ring waits for the token service", func() string {
					a.intact(live)
					return want(w.set().Status.Conditions, "RestoreDetected", "True RingRestored", "Ready", "False WaitingForReplicas")
				})
				if ring := w.ring(); ring.Epoch != a.before.Epoch {
					t.Fatalf("nobody was asked, and the ring went from epoch %d to %d", a.before.Epoch, ring.Epoch)
				}
			}
			if row.forLong {
				w.step(patienceForWitnesses)
			} else {
				w.fleet.set("signer", fault{})
			}
			w.eventually("the edges are freed", func() string {
				a.intact(live)
				return a.freed(live)
			})
			w.fleet.set("signer", fault{})
			left := damageMargin
			w.eventually("all is well", func() string {
				w.settleHeir(&left)
				return w.unhealthy()
			})
			if row.alone {
				w.fleet.pardon() // for a moment the edges did lack the good keys
			}
		})
	}
}

// readAll lets every replica load the document that is stored.
func (w *world) readAll() {
	w.Helper()
	var pods corev1.PodList
	if err := admin.List(w.ctx, &pods, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	for i := range pods.Items {
		_, _ = w.fleet.Read(w.ctx, &pods.Items[i]) // one that is out of reach loads nothing
	}
}

// TestNewerKids: an edge takes no key away and vouches for none; a token service does both.
func TestNewerKids(t *testing.T) {
	signer := keys.Replica{Name: "web-tokenservice-0", Signer: true, Reachable: true, Epoch: 5, KIDs: []string{"good"}}
	newer := signer
	newer.Epoch, newer.KIDs = 7, []string{"new"}
	edge := keys.Replica{Name: "web-extauthz-0", Reachable: true, Epoch: 7, KIDs: []string{"forged"}}
	for name, row := range map[string]struct {
		replicas []keys.Replica
		want     string
		vouched  string
	}{
		"an edge alone":                          {[]keys.Replica{edge}, "[]", ""},
		"an edge beside a silent token service":  {[]keys.Replica{edge, {Signer: true}}, "[]", ""},
		"an edge beside a token service":         {[]keys.Replica{edge, signer}, "[]", ""},
		"a token service that is newer":          {[]keys.Replica{edge, newer}, "[new]", "new"},
		"one that is newer, one that is not yet": {[]keys.Replica{edge, newer, signer}, "[new good]", "new"},
	} {
		seen := &observedSet{ring: keys.Ring{Epoch: 5}, observed: keys.Observed{Replicas: row.replicas}}
		seen.material = map[int64]keys.Key{8: {KID: "forged"}, 9: {KID: "new"}}
		if got := fmt.Sprint(newerKids(seen)); got != row.want {
			t.Errorf("%s: newer kids %s, want %s", name, got, row.want)
		}
		var vouched []string
		for _, k := range vouchedMaterial(&keyturnv1alpha1.SigningKeySet{}, seen, true) {
			vouched = append(vouched, k.KID)
		}
		if got := strings.Join(vouched, " "); got != row.vouched {
			t.Errorf("%s: vouches for %q, want %q", name, got, row.vouched)
		}
	}
}

// TestAwaitedWitness: a silent token service is waited for, and not for ever.
func TestAwaitedWitness(t *testing.T) {
	var w witnesses
	name, now := types.NamespacedName{Name: setName}, time.Unix(1e9, 0)
	pod := func(name string) *corev1.Pod {
		p := &corev1.Pod{}
		p.Name = name
		return p
	}
	edge, heard, silent := replica{pod: pod("edge")}, replica{pod: pod("heard"), signer: true, status: &snapshot.Status{}}, replica{pod: pod("silent"), signer: true}
	for i, row := range []struct {
		replicas []replica
		after    time.Duration
		want     string
	}{
		{nil, 0, ""},
		{[]replica{edge, heard}, 0, ""},
		{[]replica{edge, heard, silent}, 0, "silent"},
		{[]replica{edge, silent}, patienceForWitnesses - 1, "silent"},
		{[]replica{edge, silent}, 1, ""},
		{[]replica{edge, heard}, 0, ""},
		{[]replica{edge, silent}, 0, "silent"},          // once more, from the beginning
		{[]replica{edge, silent}, -time.Hour, "silent"}, // the clock went back
		{[]replica{edge, silent}, patienceForWitnesses, ""},
	} {
		now = now.Add(row.after)
		if got := w.awaited(name, row.replicas, now); got != row.want {
			t.Errorf("row %d: waits for %q, want %q", i, got, row.want)
		}
	}
}
