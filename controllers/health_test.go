package controllers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func isConflict(err error) bool { return apierrors.IsConflict(err) }

func (w *world) owner() keysecret.Owner { return keysecret.Owner{Namespace: w.ns, Name: setName} }

func (w *world) set() *keyturnv1alpha1.SigningKeySet {
	var set keyturnv1alpha1.SigningKeySet
	w.get(&set, setName)
	return &set
}

func (w *world) service() *keyturnv1alpha1.TokenService {
	var service keyturnv1alpha1.TokenService
	w.get(&service, serviceName)
	return &service
}

// ring reads the ring live, nil if it cannot be believed.
func (w *world) ring() *keys.Ring {
	var secret corev1.Secret
	if !w.get(&secret, keysecret.RingName(setName)) {
		return nil
	}
	ring, err := keysecret.DecodeRing(&secret, w.owner())
	if err != nil {
		return nil
	}
	return &ring
}

// kids are the keys of the ring that tokens may be signed with, and all of them.
func kids(ring *keys.Ring) (live, all []string) {
	for _, k := range ring.Keys {
		all = append(all, k.KID)
		if k.State == keys.Active || k.State == keys.Retiring {
			live = append(live, k.KID)
		}
	}
	return live, all
}

func (w *world) edgeDocument() (snapshot.Edge, error) {
	var secret corev1.Secret
	if !w.get(&secret, serviceName+"-edge-snapshot") {
		return snapshot.Edge{}, fmt.Errorf("there is no edge snapshot")
	}
	return snapshot.DecodeEdge(secret.Data[snapshotKey])
}

func (w *world) issuerDocument() (snapshot.Issuer, error) {
	var secret corev1.Secret
	if !w.get(&secret, serviceName+"-issuer-snapshot") {
		return snapshot.Issuer{}, fmt.Errorf("there is no issuer snapshot")
	}
	return snapshot.DecodeIssuer(secret.Data[snapshotKey])
}

// shows says a condition in one word: status and reason.
func shows(list []metav1.Condition, kind string) string {
	c := meta.FindStatusCondition(list, kind)
	if c == nil {
		return "none"
	}
	return string(c.Status) + " " + c.Reason
}

// want compares conditions, given as type and "status reason"; it returns the first that differs, empty if none.
func want(list []metav1.Condition, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if got := shows(list, pairs[i]); got != pairs[i+1] {
			return fmt.Sprintf("%s is %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
	return ""
}

// unhealthy says what is not as it should be in a settled system, empty if nothing.
func (w *world) unhealthy() string {
	ring := w.ring()
	if ring == nil {
		return "there is no ring"
	}
	for _, check := range []func(*keys.Ring) string{w.badRing, w.badDocuments, w.badStatus, w.badFeed, w.badWorkloads, w.badReplicas} {
		if objection := check(ring); objection != "" {
			return objection
		}
	}
	return ""
}

func (w *world) badRing(ring *keys.Ring) string {
	if ring.Active() == nil || ring.Standby() == nil || ring.Standby().State != keys.Published {
		return "no active or no published standby key"
	}
	for _, k := range ring.Keys {
		var secret corev1.Secret
		if k.State == keys.Retiring {
			continue // its private half may have been what was lost
		}
		if !w.get(&secret, keysecret.KeyName(setName, k.Sequence)) {
			return "no Secret of key " + short(k.KID)
		}
		if _, public, err := keysecret.DecodeKey(&secret, w.owner(), k.Sequence); err != nil || public.KID != k.KID {
			return fmt.Sprintf("Secret of key %s: %v", short(k.KID), err)
		}
		if secret.Immutable == nil || !*secret.Immutable || len(secret.OwnerReferences) > 0 {
			return "a key Secret is not immutable, or owned"
		}
	}
	var current corev1.ConfigMap
	desired, err := keysecret.EncodeJWKS(w.owner(), ring)
	if err != nil || !w.get(&current, keysecret.JWKSName(setName)) || !maps.Equal(current.Data, desired.Data) || !keysecret.SameJWKS(&current, desired) {
		return "the JWKS is not the ring's"
	}
	return ""
}

func (w *world) badDocuments(ring *keys.Ring) string {
	edge, err := w.edgeDocument()
	if err != nil {
		return err.Error()
	}
	issuer, err := w.issuerDocument()
	if err != nil {
		return err.Error()
	}
	_, all := kids(ring)
	for _, set := range []snapshot.KeySet{edge.Keys, issuer.Keys} {
		var have []string
		for _, k := range set.Keys {
			have = append(have, k.KID)
		}
		slices.Sort(all)
		if !slices.Equal(have, all) || set.Active != ring.Active().KID || set.Epoch != ring.Epoch {
			return fmt.Sprintf("a document has keys %v at epoch %d, the ring %v at %d", have, set.Epoch, all, ring.Epoch)
		}
	}
	private, err := token.ParsePrivate(issuer.SigningKey.Reveal())
	if err != nil || private.KID() != ring.Active().KID {
		return "the signing key is not the active one"
	}
	raw, err := json.Marshal(edge)
	if err != nil || len(privateMember(raw)) > 0 {
		return "the edge document holds a private key"
	}
	return ""
}

// badStatus compares the status with the live ring.
func (w *world) badStatus(ring *keys.Ring) string {
	set, service := w.set(), w.service()
	s := set.Status
	if c := shows(s.Conditions, keyturnv1alpha1.ConditionReady); c != "True Ready" {
		return "the set's Ready is " + c
	}
	if c := shows(service.Status.Conditions, keyturnv1alpha1.ConditionReady); c != "True Ready" {
		return "the service's Ready is " + c
	}
	if s.ActiveKid != ring.Active().KID || s.Active != short(s.ActiveKid) || s.StandbyKid != ring.Standby().KID || s.Epoch != ring.Epoch ||
		s.JWKSRevision != ring.Revision || service.Status.ActiveKid != s.ActiveKid || service.Status.Key != s.Active || service.Status.Epoch != s.Epoch {
		return "a status is not the ring's"
	}
	return badKeyStatus(s.Keys, ring)
}

func badKeyStatus(shown []keyturnv1alpha1.KeyStatus, ring *keys.Ring) string {
	byKid := map[string]keyturnv1alpha1.KeyStatus{}
	for _, k := range shown {
		byKid[k.Kid] = k
	}
	for _, k := range ring.Keys {
		got := byKid[k.KID]
		for _, times := range [][2]time.Time{
			{got.CreatedTime.Time, k.Created}, {got.PublishedTime.Time, k.Published}, {got.ActivatedTime.Time, k.Activated},
			{got.RetiringTime.Time, k.Retiring}, {got.VerifyUntil.Time, k.VerifyUntil},
		} {
			if !times[0].Equal(times[1].Truncate(time.Second)) {
				return fmt.Sprintf("key %s shows the time %s for %s", short(k.KID), times[0], times[1])
			}
		}
		if string(got.State) != string(k.State) || got.Sequence != k.Sequence || got.MaxTokenTTL.Duration != k.MaxTTL {
			return fmt.Sprintf("key %s is shown as %+v", short(k.KID), got)
		}
	}
	return ""
}

func (w *world) badFeed(*keys.Ring) string {
	var server, client corev1.Secret
	if !w.get(&server, serviceName+"-feed-server") || !w.get(&client, serviceName+"-feed-client") {
		return "a feed Secret is missing"
	}
	if !feedServerSound(server.Data, feedServerName(w.service()), w.clock.Now()) {
		return "the feed server's Secret is not sound"
	}
	if !equalData(client.Data, map[string][]byte{"ca.crt": server.Data["tls.crt"], "token": server.Data["token"]}) {
		return "the feed client's Secret is not the server's"
	}
	return ""
}

// settled declares the usual objects and waits until everything is as it should be.
func settled(t *testing.T, change ...func(*keyturnv1alpha1.SigningKeySet, *keyturnv1alpha1.TokenPolicy, *keyturnv1alpha1.TokenService)) *world {
	t.Helper()
	w := newWorld(t)
	w.declare(change...)
	w.eventually("settle", w.unhealthy)
	return w
}

// step moves the clock and makes the controllers look.
func (w *world) step(d time.Duration) {
	w.Helper()
	w.clock.step(d)
	w.touch()
}

func (w *world) touch() {
	w.Helper()
	edit(w, &keyturnv1alpha1.SigningKeySet{ObjectMeta: w.meta(setName)}, func(s *keyturnv1alpha1.SigningKeySet) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations["test/touched"] = w.clock.Now().String()
	})
}
