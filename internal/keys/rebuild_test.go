package keys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// statusOnly is what the status records of a key: no public half, no lifetime.
func statusOnly(ks ...keys.Key) []keys.Key {
	for i := range ks {
		ks[i].PublicJWK, ks[i].MaxTTL = nil, 0
	}
	return ks
}

// public is what a private Secret or a replica tells about a key.
func public(ks ...keys.Key) []keys.Key {
	var all []keys.Key
	for _, k := range ks {
		all = append(all, keys.Key{KID: k.KID, Algorithm: k.Algorithm, Bits: k.Bits, Brought: k.Brought, Sequence: k.Sequence, PublicJWK: k.PublicJWK})
	}
	return all
}

func unnumbered(k keys.Key) keys.Key { k.Sequence = 0; return k }

func TestRebuild(t *testing.T) {
	retiring := closed(key(1, keys.Retiring, ago(time.Hour)), future(time.Hour))
	for _, c := range []struct {
		name    string
		remains keys.Remains
		want    string
	}{
		{"nothing is left", keys.Remains{}, "epoch 1, next 1:"},
		{"status and Secrets agree", keys.Remains{Recorded: statusOnly(retiring, second, third), Material: public(retiring, second, third), EpochFloor: 40, RevisionFloor: 9},
			"epoch 41, next 4: kid-1 Retiring 1h0m0s, kid-2 Active, kid-3 Published"},
		{"no status: every key verifies only", keys.Remains{Material: public(active, warm), EpochFloor: 40}, "epoch 41, next 3: kid-1 Retiring open, kid-2 Retiring open"},
		{"no Secrets: nothing can be shown", keys.Remains{Recorded: statusOnly(active, warm)}, "epoch 1, next 3:"},
		{"no Secrets, but replicas remember the public halves", keys.Remains{Recorded: statusOnly(active, warm), Seen: public(active, warm)},
			"epoch 1, next 3: kid-1 Retiring open, kid-2 Retiring open"},
		{"a retiring key of which only a replica knows keeps its time", keys.Remains{Recorded: statusOnly(retiring), Seen: public(retiring)}, "epoch 1, next 2: kid-1 Retiring 1h0m0s"},
		{"a key that only a replica knows gets a number", keys.Remains{Recorded: statusOnly(second), Material: public(second), Seen: public(unnumbered(active))},
			"epoch 1, next 4: kid-2 Active, kid-1 Retiring open"},
		{"never two Active", keys.Remains{Recorded: statusOnly(active, second), Material: public(active, second)}, "epoch 1, next 3: kid-1 Retiring open, kid-2 Active"},
		{"a revoked key never returns", keys.Remains{Recorded: statusOnly(active), Material: public(active, warm), Seen: public(active), Tombstones: []keys.Tombstone{{KID: "kid-1", Sequence: 1, State: keys.Revoked}}},
			"epoch 1, next 3: kid-2 Retiring open; kid-1 Revoked"},
		{"a kid that somebody wants revoked never returns", keys.Remains{Recorded: statusOnly(active, warm), Material: public(active, warm), Revoked: []string{"kid-1", "unseen"}},
			"epoch 1, next 3: kid-2 Published; kid-1 Revoked; unseen Revoked"},
		{"restored: what a newer document lacks was buried since", keys.Remains{Recorded: []keys.Key{active, warm}, Material: public(active, warm), Newer: []string{"kid-2", "kid-3"}, Restored: true},
			"epoch 1, next 3: kid-2 Retiring open; kid-1 Removed"},
		{"restored: revoked wins over what a newer document lacks", keys.Remains{Recorded: []keys.Key{active, warm}, Newer: []string{"kid-2"}, Revoked: []string{"kid-1"}, Restored: true},
			"epoch 1, next 3: kid-2 Retiring open; kid-1 Revoked"},
		{"recorded as revoked", keys.Remains{Recorded: []keys.Key{{KID: "kid-1", Sequence: 1, State: keys.Revoked}}, Material: public(active)}, "epoch 1, next 2:; kid-1 Revoked"},
		{"Revoked wins over Removed", keys.Remains{Tombstones: []keys.Tombstone{{KID: "kid-1", State: keys.Removed}, {KID: "kid-1", State: keys.Revoked}}}, "epoch 1, next 1:; kid-1 Revoked"},
		{"restored: nothing that was recorded signs again", keys.Remains{Recorded: []keys.Key{active, warm}, Material: public(active, warm), Restored: true, EpochFloor: 99, SequenceFloor: 7},
			"epoch 100, next 8: kid-1 Retiring open, kid-2 Retiring open"},
		{"a record that makes no sense is not believed", keys.Remains{Recorded: []keys.Key{{KID: "kid-1", State: keys.Active}}, Material: public(active)}, "epoch 1, next 2: kid-1 Retiring open"},
		{"material without a public half is dropped", keys.Remains{Material: []keys.Key{{KID: "kid-1", Algorithm: keys.ES256, Sequence: 1}}}, "epoch 1, next 2:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := keys.Rebuild(noon, policy(), c.remains)
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, k := range r.Keys {
				line := " " + k.KID + " " + string(k.State)
				if k.State == keys.Retiring && k.VerifyUntil.IsZero() {
					line += " open"
				} else if k.State == keys.Retiring {
					line += " " + k.VerifyUntil.Sub(noon).String()
				}
				if line = strings.TrimRight(line, " "); (k.State == keys.Retiring || k.State == keys.Active) && k.MaxTTL != keys.MaxAccessTTL && len(c.remains.Recorded) > 0 && c.remains.Recorded[0].MaxTTL == 0 {
					t.Errorf("%s: MaxTTL %s", k.KID, k.MaxTTL)
				}
				all = append(all, line)
			}
			got := fmt.Sprintf("epoch %d, next %d:%s", r.Epoch, r.NextSequence, strings.Join(all, ","))
			for _, s := range r.Tombstones {
				got += "; " + s.KID + " " + string(s.State)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	good := ring(closed(key(1, keys.Retiring, ago(time.Hour)), future(time.Hour)), second, third, key(4, keys.Pending, noon))
	good.NextSequence, good.Tombstones = 9, []keys.Tombstone{{KID: "gone", Sequence: 7, State: keys.Removed}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := new(keys.Ring).Validate(); err != nil {
		t.Errorf("the zero ring is refused: %v", err)
	}
	for name, change := range map[string]func(*keys.Ring){
		"negative revision":       func(r *keys.Ring) { r.Revision = -1 },
		"epoch 0 with keys":       func(r *keys.Ring) { r.Epoch = 0 },
		"empty kid":               func(r *keys.Ring) { r.Keys[0].KID = "" },
		"kid twice":               func(r *keys.Ring) { r.Keys[0].KID = r.Keys[1].KID },
		"buried kid":              func(r *keys.Ring) { r.Tombstones[0].KID = "kid-1" },
		"sequence twice":          func(r *keys.Ring) { r.Keys[0].Sequence = 2 },
		"sequence of a tombstone": func(r *keys.Ring) { r.Keys[3].Sequence = 7 },
		"sequence to come":        func(r *keys.Ring) { r.NextSequence = 4 },
		"order":                   func(r *keys.Ring) { r.Keys[0], r.Keys[1] = r.Keys[1], r.Keys[0] },
		"tombstone of an Active":  func(r *keys.Ring) { r.Tombstones[0].State = keys.Active },
		"two Active":              func(r *keys.Ring) { r.Keys[2] = key(3, keys.Active, noon) },
		"no state":                func(r *keys.Ring) { r.Keys[0].State = "" },
		"Removed in the ring":     func(r *keys.Ring) { r.Keys[0].State = keys.Removed },
		"no algorithm":            func(r *keys.Ring) { r.Keys[0].Algorithm = "none" },
		"RSA without size":        func(r *keys.Ring) { r.Keys[0].Algorithm = keys.RS256 },
		"ES256 with size":         func(r *keys.Ring) { r.Keys[0].Bits = 2048 },
		"no public half":          func(r *keys.Ring) { r.Keys[0].PublicJWK = nil },
		"negative lifetime":       func(r *keys.Ring) { r.Keys[0].MaxTTL = -1 },
		"Active with verifyUntil": func(r *keys.Ring) { r.Keys[1].VerifyUntil = noon },
		"Active never activated":  func(r *keys.Ring) { r.Keys[1].Activated = time.Time{} },
		"Pending but published":   func(r *keys.Ring) { r.Keys[3].Published = noon },
		"times out of order":      func(r *keys.Ring) { r.Keys[1].Activated = ago(1000 * day) },
	} {
		r := good.Clone()
		if change(r); r.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
