package controllers

import (
	"fmt"
	"testing"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// TestFitKeys: the status never names more keys than the API server takes, and loses none that is needed.
func TestFitKeys(t *testing.T) {
	set := &keyturnv1alpha1.SigningKeySet{}
	for n := range maxShownKeys {
		set.Status.Keys = append(set.Status.Keys, keyturnv1alpha1.KeyStatus{Kid: fmt.Sprint("named-", n), Sequence: int64(100 - n), State: keyturnv1alpha1.KeyRetiring})
	}
	remains := keys.Remains{Material: []keys.Key{{KID: "named-31"}}, Seen: []keys.Key{{KID: "named-30"}}}
	for n := range 3 * maxShownKeys {
		remains.Seen = append(remains.Seen, keys.Key{KID: fmt.Sprint("witnessed-", n%(2*maxShownKeys))})
	}
	remains.Seen = append(remains.Seen, keys.Key{KID: "named-29"})
	ring := map[string]bool{}
	var needed []keys.Key
	var news []keyturnv1alpha1.KeyStatus
	for _, k := range append(fitSeen(set, &remains), remains.Material...) {
		if ring[k.KID] {
			continue
		}
		ring[k.KID] = true
		needed = append(needed, k)
		if !namedKey(set, k.KID) {
			news = append(news, keyturnv1alpha1.KeyStatus{Kid: k.KID, Sequence: 200})
		}
	}
	if len(needed) != maxShownKeys || !ring["named-29"] || !ring["named-30"] || !ring["named-31"] {
		t.Fatalf("%d keys of %d would be in the ring: %v", len(needed), maxShownKeys, ring)
	}
	set.Status.Keys = fitKeys(news, set.Status.Keys, needed)
	if len(set.Status.Keys) != maxShownKeys {
		t.Errorf("the status would name %d keys, its bound is %d", len(set.Status.Keys), maxShownKeys)
	}
	for kid := range ring {
		if !namedKey(set, kid) {
			t.Errorf("the status does not name %s", kid)
		}
	}
}
