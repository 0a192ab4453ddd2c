package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// TestDamage deletes and edits what the operator has made. Each time everything is as it should be within seconds,
// somebody is told, and the users notice nothing: calls and refreshes go on without a refusal.
func TestDamage(t *testing.T) {
	fast(t)
	ring := func() string { return keysecret.RingName(stage.KeySet) }
	rows := []struct {
		name   string
		object func() client.Object
		edit   func(client.Object) // nil: delete
		// gaps allows the refusals that a dead process cannot avoid.
		gaps bool
	}{
		{name: "ring deleted", object: secret(ring)},
		{name: "ring emptied", object: secret(ring), edit: data(func(d map[string][]byte) { clear(d) })},
		{name: "ring garbage", object: secret(ring), edit: data(func(d map[string][]byte) {
			for k := range d {
				d[k] = []byte("{")
			}
		})},
		{name: "active key deleted", object: secret(func() string { return keysecret.KeyName(stage.KeySet, mustRing().Active().Sequence) })},
		{name: "standby key deleted", object: secret(func() string { return keysecret.KeyName(stage.KeySet, mustRing().Standby().Sequence) })},
		{name: "JWKS deleted", object: configMap(keysecret.JWKSName(stage.KeySet))},
		{name: "JWKS edited", object: configMap(keysecret.JWKSName(stage.KeySet)), edit: func(o client.Object) {
			o.(*corev1.ConfigMap).Data = map[string]string{"jwks.json": `{"keys":[]}`}
		}},
		{name: "issuer snapshot deleted", object: secret(fixed(stage.Service + "-issuer-snapshot"))},
		{name: "issuer snapshot garbage", object: secret(fixed(stage.Service + "-issuer-snapshot")), edit: data(garbage)},
		{name: "edge snapshot deleted", object: secret(fixed(stage.Service + "-edge-snapshot"))},
		{name: "edge snapshot garbage", object: secret(fixed(stage.Service + "-edge-snapshot")), edit: data(garbage)},
		{name: "edge snapshot without keys", object: secret(fixed(stage.Service + "-edge-snapshot")), edit: data(withoutKeys)},
		{name: "edge deployment scaled to one", object: deployment, edit: func(o client.Object) { o.(*appsv1.Deployment).Spec.Replicas = new(int32(1)) }},
		{name: "edge deployment deleted", object: deployment, gaps: true},
		{name: "token service deleted", object: statefulSet, gaps: true},
		{name: "edge service deleted", object: func() client.Object { return named(&corev1.Service{}, stage.Service+"-feed") }, gaps: true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			eventually(t, inOrder)
			damage(t, row.object(), row.edit, row.gaps)
		})
	}
}

func damage(t *testing.T, object client.Object, edit func(client.Object), gaps bool) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	user := theStage.User()
	before := login(t, user, alice, alicePassword)
	load, err := theStage.StartLoad(ctx, 2, bob, bobPassword, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Stop()
	var uid types.UID
	var version string
	epoch := mustRing().Epoch
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error { // others write it too
		if err := theStage.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		uid, version = object.GetUID(), object.GetResourceVersion()
		if edit == nil {
			return theStage.Client.Delete(ctx, object)
		}
		edit(object)
		return theStage.Client.Update(ctx, object)
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, func(ctx context.Context) (string, error) {
		if why, err := undone(ctx, object, uid, version, epoch); why != "" || err != nil {
			return why, err
		}
		return inOrder(ctx)
	})
	t.Logf("in order after %.1f s", time.Since(began).Seconds())
	load.Stop()
	if load.Refused.Load() > 0 && !gaps {
		t.Errorf("%d of %d calls refused meanwhile; the first: %s", load.Refused.Load(), load.Sent.Load(), load.FirstRefusal())
	}
	call := func(ctx context.Context) (stage.Answer, error) { return user.CallAs(ctx, "/orders", before.Access) }
	refresh := func(ctx context.Context) (answer stage.Answer, err error) {
		after, answer, err := user.Refresh(ctx, before.Refresh)
		remember(after)
		return answer, err
	}
	for what, ask := range map[string]func(context.Context) (stage.Answer, error){"a token from before": call, "a session from before": refresh} {
		if gaps {
			wantAnswer(t, what, answered(t, ask), nil, http.StatusOK, "")
			continue
		}
		answer, err := ask(t.Context())
		wantAnswer(t, what, answer, err, http.StatusOK, "")
	}
}

// undone tells whether the object is still as the damage left it. A deleted private key does not come back: the ring
// moves on without it.
func undone(ctx context.Context, object client.Object, uid types.UID, version string, epoch int64) (string, error) {
	fresh := object.DeepCopyObject().(client.Object)
	err := theStage.Client.Get(ctx, client.ObjectKeyFromObject(object), fresh)
	switch {
	case err == nil && fresh.GetUID() == uid && fresh.GetGeneration() > 0 && fresh.GetGeneration() == object.GetGeneration():
		return "nothing was done about " + object.GetName() + ": only its status has changed", nil
	case err == nil && (fresh.GetUID() != uid || fresh.GetResourceVersion() != version && fresh.GetResourceVersion() != object.GetResourceVersion()):
		return "", nil
	case err == nil:
		return "nothing was done about " + object.GetName(), nil
	case client.IgnoreNotFound(err) != nil:
		return "", err
	}
	if _, isKey := keysecret.Sequence(stage.KeySet, object.GetName()); isKey {
		if ring, ok := tryRing(ctx); ok && ring.Epoch > epoch {
			return "", nil
		}
		return "the ring has not moved on from the lost key", nil
	}
	return object.GetName() + " is still gone", nil
}

// inOrder tells what is not in order yet: the set and the service are Ready, all replicas have loaded what there is,
// and the stored documents are sound.
func inOrder(ctx context.Context) (string, error) {
	ring, ok := tryRing(ctx)
	if !ok {
		return "there is no ring", nil
	}
	if ring.Active() == nil || ring.Standby() == nil || ring.Standby().State != "Published" {
		return fmt.Sprintf("the ring has no active or no published standby key: %s", states(ring.Keys)), nil
	}
	set, err := theStage.KeySet(ctx)
	if err != nil {
		return "", err
	}
	var service keyturnv1alpha1.TokenService
	if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.Service}, &service); err != nil {
		return "", err
	}
	if set.Status.Epoch != ring.Epoch || service.Status.Epoch != ring.Epoch {
		return fmt.Sprintf("epoch %d of the ring, %d of the set, %d of the service", ring.Epoch, set.Status.Epoch, service.Status.Epoch), nil
	}
	for _, conditions := range [][]string{{"Ready", "Published", "StandbyReady"}} {
		for _, kind := range conditions {
			if !meta.IsStatusConditionTrue(set.Status.Conditions, kind) {
				return fmt.Sprintf("set: %s: %+v", kind, meta.FindStatusCondition(set.Status.Conditions, kind)), nil
			}
		}
	}
	for _, kind := range []string{"Ready", "KeysLoaded", "Available"} {
		if !meta.IsStatusConditionTrue(service.Status.Conditions, kind) {
			return fmt.Sprintf("service: %s: %+v", kind, meta.FindStatusCondition(service.Status.Conditions, kind)), nil
		}
	}
	if service.Status.Replicas != "1/1" || service.Status.Edge != "2/2" {
		return fmt.Sprintf("replicas %s, edge %s", service.Status.Replicas, service.Status.Edge), nil
	}
	return storedEdge(ctx, ring.Epoch)
}

// storedEdge looks whether the stored document of the edge is sound.
func storedEdge(ctx context.Context, epoch int64) (string, error) {
	var stored corev1.Secret
	if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.Service + "-edge-snapshot"}, &stored); err != nil {
		return "no edge snapshot", client.IgnoreNotFound(err)
	}
	doc, err := snapshot.DecodeEdge(stored.Data["snapshot.json.gz"])
	if err != nil || doc.Keys.Epoch != epoch || len(doc.Keys.Keys) < 2 {
		return fmt.Sprintf("the edge snapshot has epoch %d, want %d (error %v)", doc.Keys.Epoch, epoch, err), nil
	}
	return "", nil
}

// TestForeignKeyInEdgeSnapshot plants a key of an attacker's in the edge snapshot: it is gone within seconds.
func TestForeignKeyInEdgeSnapshot(t *testing.T) {
	attacker, err := token.Generate(token.Algorithm("ES256"), 0)
	if err != nil {
		t.Fatal(err)
	}
	name := types.NamespacedName{Namespace: stage.Namespace, Name: stage.Service + "-edge-snapshot"}
	var stored corev1.Secret
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := theStage.Client.Get(t.Context(), name, &stored); err != nil {
			return err
		}
		doc := must[snapshot.Edge](t)(snapshot.DecodeEdge(stored.Data["snapshot.json.gz"]))
		doc.Keys.Keys = append(doc.Keys.Keys, snapshot.Key{KID: attacker.KID(), Algorithm: "ES256", JWK: attacker.Public().JWK()})
		doc.Revision++
		stored.Data["snapshot.json.gz"] = must[[]byte](t)(snapshot.EncodeEdge(doc))
		return theStage.Client.Update(t.Context(), &stored)
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) (string, error) {
		if err := theStage.Client.Get(ctx, name, &stored); err != nil {
			return "", err
		}
		doc, err := snapshot.DecodeEdge(stored.Data["snapshot.json.gz"])
		if err != nil {
			return "", err
		}
		for _, k := range doc.Keys.Keys {
			if k.KID == attacker.KID() {
				return "the attacker's key is still there", nil
			}
		}
		var service keyturnv1alpha1.TokenService
		if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.Service}, &service); err != nil {
			return "", err
		}
		if service.Status.EdgeRevision < doc.Revision || service.Status.Edge != "2/2" {
			return "not loaded by every edge: " + service.Status.Edge, nil
		}
		return "", nil
	})
	user := theStage.User()
	claims := claimsOf(t, payload(login(t, user, alice, alicePassword).Access))
	forged, err := token.NewSigner(attacker).Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := user.CallAs(t.Context(), "/orders", forged.Reveal())
	if err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("the attacker's token gets %d (error %v)", answer.Status, err)
	}
}

func mustRing() *ringView {
	ring, ok := tryRing(context.Background())
	if !ok {
		panic(errors.New("no ring"))
	}
	return ring
}
