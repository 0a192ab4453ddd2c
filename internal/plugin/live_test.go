package plugin

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// ringOf makes a real ring with one active key, and its Secret.
func ringOf(t *testing.T, namespace string) (*corev1.Secret, string) {
	t.Helper()
	private, err := token.Generate("ES256", 0)
	if err != nil {
		t.Fatal(err)
	}
	ring := keys.Ring{Epoch: 10, Revision: 7, NextSequence: 5, Keys: []keys.Key{{
		KID: private.KID(), Algorithm: keys.ES256, Sequence: 4, State: keys.Active, PublicJWK: private.Public().JWK(),
		Created: now.Add(-day), Published: now.Add(-day), Activated: now.Add(-day),
	}}, Tombstones: []keys.Tombstone{{KID: kid1, Sequence: 1, State: keys.Removed, Time: now.Add(-day)}}}
	stored, err := keysecret.EncodeRing(keysecret.Owner{Namespace: namespace, Name: "main"}, &ring)
	if err != nil {
		t.Fatal(err)
	}
	return stored, private.KID()
}

func TestLive(t *testing.T) {
	stored, kid := ringOf(t, "demo")
	c := newCall(t, noFuncs, settledSet(), stored)
	if err := c.Keys(c.ctx, KeysOptions{Set: "main", Live: true}); err != nil {
		t.Fatal(err)
	}
	out := strings.ReplaceAll(c.out.String(), kid[:8], "KIDKIDKI")
	golden(t, "keys-live", out)
}

// TestLiveRefuses a ring that is missing, copied from another namespace or edited; the error says what to do.
func TestLiveRefuses(t *testing.T) {
	mine, _ := ringOf(t, "demo")
	edited := mine.DeepCopy()
	edited.Data["ring.json"] = []byte(strings.Replace(string(edited.Data["ring.json"]), `"epoch": 10`, `"epoch": 10, "more": 1`, 1))
	foreign, _ := ringOf(t, "shop")
	foreign.Namespace = "demo"
	for name, row := range map[string]struct {
		ring *corev1.Secret
		want string
	}{"missing": {nil, "does not exist"}, "edited": {edited, "is refused"}, "foreign": {foreign, "another set"}} {
		objects := []client.Object{settledSet()}
		if row.ring != nil {
			objects = append(objects, row.ring)
		}
		c := newCall(t, noFuncs, objects...)
		err := c.Keys(c.ctx, KeysOptions{Set: "main", Live: true})
		if err == nil || !strings.Contains(err.Error(), row.want) || Explain(err, "demo").Mend == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
