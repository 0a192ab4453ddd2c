package controllers

import (
	"bytes"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

var ringDamages = []damage{
	{name: "deleted", event: restored, do: func(a *attack) { a.remove(a.ringSecret()) }},
	{name: "emptied", event: restored, do: func(a *attack) { a.editRing(func(s *corev1.Secret) { s.Data = nil }) }},
	{name: "garbage", event: restored, do: func(a *attack) {
		a.editRing(func(s *corev1.Secret) { s.Data["ring.json"] = []byte("{]") })
	}},
	{name: "attacker's key added", event: restored, do: func(a *attack) { a.forgeRing(addForeign) }},
	{name: "attacker's key added at a higher epoch", event: restored, do: func(a *attack) {
		a.forgeRing(func(a *attack, ring *keys.Ring) {
			addForeign(a, ring)
			ring.Epoch += 3
		})
	}},
	{name: "attacker's key with its Secret at the next epoch", event: restored, do: func(a *attack) {
		a.plant(a.before.NextSequence)
		a.forgeRing(func(a *attack, ring *keys.Ring) {
			addForeign(a, ring)
			ring.Epoch++
		})
	}},
	{name: "attacker's Secret added, then the ring deleted", event: restored, do: func(a *attack) {
		a.plant(a.before.NextSequence + 50)
		a.remove(a.ringSecret())
	}},
	{name: "attacker's key in place of all", event: restored, do: func(a *attack) {
		a.forgeRing(func(a *attack, ring *keys.Ring) {
			ring.Keys = nil
			addForeign(a, ring)
		})
	}},
	{name: "states swapped", event: restored, do: func(a *attack) {
		a.forgeRing(func(_ *attack, ring *keys.Ring) {
			active, standby := ring.Active(), ring.Standby()
			standby.State, standby.Activated, standby.MaxTTL = keys.Active, active.Activated, active.MaxTTL
			active.State, active.Retiring = keys.Retiring, active.Activated.Add(time.Second)
		})
	}},
	{name: "active key taken out", event: restored, do: func(a *attack) {
		a.forgeRing(func(_ *attack, ring *keys.Ring) { ring.Keys = ring.Keys[len(ring.Keys)-1:] })
	}},
	{name: "epoch lowered", event: restored, do: func(a *attack) {
		a.forgeRing(func(_ *attack, ring *keys.Ring) { ring.Epoch = 1 })
	}},
	{name: "counters at their limit", event: restored, do: func(a *attack) {
		a.forgeRing(func(_ *attack, ring *keys.Ring) {
			ring.Epoch, ring.Revision, ring.NextSequence = 1<<63-1, 1<<63-1, 1<<63-1
		})
	}},
	{name: "counters below their limit", event: restored, do: func(a *attack) {
		a.forgeRing(func(_ *attack, ring *keys.Ring) {
			ring.Epoch, ring.Revision, ring.NextSequence = countersEnd-1, countersEnd-1, countersEnd-1
		})
	}},
	{name: "key Secret of the highest number, then the ring deleted", event: restored, do: func(a *attack) {
		a.plant(countersEnd - 1)
		a.remove(a.ringSecret())
	}},
	{name: "another namespace's ring", event: restored, do: func(a *attack) {
		other, err := keysecret.EncodeRing(keysecret.Owner{Namespace: "other", Name: setName}, a.before)
		if err != nil {
			a.Fatal(err)
		}
		a.editRing(func(s *corev1.Secret) { s.Data = other.Data })
	}},
	{name: "label removed, then deleted", event: restored, do: func(a *attack) {
		a.editRing(func(s *corev1.Secret) { s.Labels = nil })
		a.remove(a.ringSecret())
	}},
	{name: "ring and status lost", do: func(a *attack) {
		set := a.set()
		set.Status = keyturnv1alpha1.SigningKeySetStatus{}
		if err := admin.Status().Update(a.ctx, set); err != nil && !isConflict(err) {
			a.Fatal(err)
		}
	}},
}

func (a *attack) ringSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: a.meta(keysecret.RingName(setName))}
}

func (a *attack) editRing(change func(*corev1.Secret)) {
	a.Helper()
	edit(a.world, a.ringSecret(), change)
}

// forgeRing writes another ring, as well formed as the attacker can make it.
func (a *attack) forgeRing(forge func(*attack, *keys.Ring)) {
	a.Helper()
	ring := a.before.Clone()
	forge(a, ring)
	forged, err := keysecret.EncodeRing(a.owner(), ring)
	if err != nil {
		a.Fatal(err)
	}
	a.editRing(func(s *corev1.Secret) { s.Data = forged.Data })
}

// addForeign adds the attacker's key as one that verifies.
func addForeign(a *attack, ring *keys.Ring) {
	now := a.clock.Now()
	ring.Keys = append(ring.Keys, keys.Key{
		KID: a.foreign.KID(), Algorithm: keys.ES256, Sequence: ring.NextSequence, State: keys.Retiring, PublicJWK: a.foreign.Public().JWK(),
		Created: now, Published: now, Activated: now, Retiring: now, MaxTTL: time.Hour,
	})
	ring.NextSequence++
}

var keyDamages = []damage{
	{name: "standby deleted", do: func(a *attack) { a.remove(a.keySecret(a.before.Standby())) }},
	{name: "label of the active removed", do: func(a *attack) {
		edit(a.world, a.keySecret(a.before.Active()), func(s *corev1.Secret) { s.Labels = nil })
	}},
	{name: "active deleted", rotates: true, event: "MaterialLost", do: func(a *attack) { a.remove(a.keySecret(a.before.Active())) }},
	{name: "active replaced", rotates: true, event: "MaterialLost", do: func(a *attack) {
		active := a.before.Active()
		a.remove(a.keySecret(active))
		secret, err := keysecret.EncodeKey(a.owner(), active.Sequence, a.foreign)
		if err != nil {
			a.Fatal(err)
		}
		a.create(secret)
	}},
	{name: "active and standby deleted", rotates: true, event: "MaterialLost", do: func(a *attack) {
		a.remove(a.keySecret(a.before.Standby()))
		a.remove(a.keySecret(a.before.Active()))
	}},
	{name: "active and ring deleted", rotates: true, event: restored, do: func(a *attack) {
		a.remove(a.keySecret(a.before.Active()))
		a.remove(a.ringSecret())
	}},
	{name: "everything deleted", rotates: true, event: restored, do: func(a *attack) {
		for i := range a.before.Keys {
			secret := a.keySecret(&a.before.Keys[i])
			if a.get(&corev1.Secret{}, secret.Name) {
				a.remove(secret)
			}
		}
		a.remove(a.ringSecret())
	}},
	{name: "JWKS deleted", do: func(a *attack) { a.remove(&corev1.ConfigMap{ObjectMeta: a.meta(keysecret.JWKSName(setName))}) }},
	{name: "JWKS with an attacker's key", do: func(a *attack) {
		edit(a.world, &corev1.ConfigMap{ObjectMeta: a.meta(keysecret.JWKSName(setName))}, func(c *corev1.ConfigMap) {
			var set struct {
				Keys []json.RawMessage `json:"keys"`
			}
			if err := json.NewDecoder(bytes.NewReader([]byte(c.Data["jwks.json"]))).Decode(&set); err != nil {
				a.Fatal(err)
			}
			set.Keys = append(set.Keys, a.foreign.Public().JWK())
			raw, err := json.Marshal(set)
			if err != nil {
				a.Fatal(err)
			}
			c.Data["jwks.json"] = string(raw)
		})
	}},
}

func (a *attack) keySecret(k *keys.Key) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: a.meta(keysecret.KeyName(setName, k.Sequence))}
}

// lastResort has a world of its own: it takes so many steps of the clock that earlier retired keys would expire.
var lastResort = []damage{
	{name: "active, standby and the issuer's document deleted", rotates: true, event: "MaterialLost", do: func(a *attack) {
		a.remove(a.keySecret(a.before.Standby()))
		a.remove(a.keySecret(a.before.Active()))
		a.remove(&corev1.Secret{ObjectMeta: a.meta(namesOf(a.service()).issuerSnapshot)})
	}},
}

// plant stores the attacker's key under a number of the set, as well formed as the manager's own.
func (a *attack) plant(sequence int64) *corev1.Secret {
	a.Helper()
	secret, err := keysecret.EncodeKey(a.owner(), sequence, a.foreign)
	if err != nil {
		a.Fatal(err)
	}
	a.create(secret)
	return secret
}
