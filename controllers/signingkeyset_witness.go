package controllers

import (
	"slices"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// witnessed are the public halves that the replicas report and that may return. Of a key that the status names every replica is
// believed. After a restore, which takes the status back too, nothing but the replicas remembers the keys that were made since:
// then a token service is believed, and an edge only while no token service of the set answers, because who can write an
// edge's document, and nothing else, must not get a key into the ring.
func witnessed(set *keyturnv1alpha1.SigningKeySet, seen *observedSet, restored bool) []keys.Key {
	signs := slices.ContainsFunc(seen.replicas, func(r replica) bool {
		return r.signer && r.status != nil && len(r.status.Keys) > 0
	})
	var out []keys.Key
	for i := range seen.replicas {
		r := &seen.replicas[i]
		if r.status == nil {
			continue
		}
		for _, k := range r.status.Keys[:min(len(r.status.Keys), snapshot.StatusMaxKeys)] {
			if !knownKey(set, k.KID) && (!restored || namedKey(set, k.KID) || signs && !r.signer) {
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
