package controllers

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// patienceForWitnesses is how long a restore is not acted on while a token service cannot be asked: longer than one takes to
// restart. Without an end, one lost node would leave the edges with a forged document for as long.
const patienceForWitnesses = 2 * time.Minute

// witnesses remembers since when a set that seems to be restored waits for its token services. The zero value is ready.
type witnesses struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
}

// awaited names the token service that must be heard before a restore is acted on: it alone may know keys that were made since.
// Empty: all were, there are none, or they were waited for long enough.
func (w *witnesses) awaited(set types.NamespacedName, replicas []replica, now time.Time) string {
	silent := slices.IndexFunc(replicas, func(r replica) bool { return r.signer && r.status == nil })
	if silent < 0 {
		w.forget(set)
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since == nil {
		w.since = map[types.NamespacedName]time.Time{}
	}
	began, waits := w.since[set]
	if !waits || now.Before(began) {
		began = now
		w.since[set] = now
	}
	if now.Sub(began) >= patienceForWitnesses {
		return ""
	}
	return replicas[silent].pod.Name
}

func (w *witnesses) forget(set types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.since, set)
}

// witnessed are the public halves that the replicas report and that may return. Of a key that the status names every replica is
// believed. After a restore, which takes the status back too, nothing but the replicas remembers the keys that were made since:
// then a token service is believed, and never an edge, because who can write an edge's document, and nothing else, must not get
// a key into the ring, whether or not a token service answers or exists.
func witnessed(set *keyturnv1alpha1.SigningKeySet, seen *observedSet, restored bool) []keys.Key {
	var out []keys.Key
	for i := range seen.replicas {
		r := &seen.replicas[i]
		if r.status == nil {
			continue
		}
		for _, k := range r.status.Keys[:min(len(r.status.Keys), snapshot.StatusMaxKeys)] {
			if !knownKey(set, k.KID) && (!restored || !r.signer || namedKey(set, k.KID)) {
				continue
			}
			if public, ok := publicKey(k); ok {
				out = append(out, public)
			}
		}
	}
	return out
}

// publicKey reads a public half; false if it is none, or not that of its kid.
func publicKey(k snapshot.Key) (keys.Key, bool) {
	public, err := token.ParsePublic(k.JWK)
	if err != nil || public.KID() != k.KID {
		return keys.Key{}, false
	}
	return keys.Key{KID: k.KID, Algorithm: keys.Algorithm(public.Algorithm()), Bits: public.Bits(), PublicJWK: public.JWK()}, true
}
