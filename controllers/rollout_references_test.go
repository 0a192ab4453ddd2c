package controllers

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// TestRolloutReferences: a missing service and a missing Secret are named; the service's pods get what is there.
func TestRolloutReferences(t *testing.T) {
	w := newWorld(t)
	aro := w.newRollout()
	aro.Spec.Legacy.Validator = keyturnv1alpha1.LegacyValidator{Redis: &keyturnv1alpha1.LegacyRedis{
		URL: "redis://sessions.shop.svc", Key: "sess:{id}", User: "user", CookieFormat: keyturnv1alpha1.SessionCookieSigned,
		SecretRef: &keyturnv1alpha1.SecretReference{Name: "sessions"},
	}}
	aro.Spec.Legacy.Issuer = &keyturnv1alpha1.LegacyWebhook{URL: "https://shop.example.com:8443/issue"}
	w.create(aro)
	w.sees(keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonTokenServiceNotFound)
	w.declare()
	w.sees(keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotFound)
	w.eventually("settle", w.unhealthy)
	w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionFalse, keyturnv1alpha1.ReasonNoData)
	secret := &corev1.Secret{ObjectMeta: w.meta("sessions"), Data: map[string][]byte{"password": []byte("canary-of-the-sessions")}}
	w.create(secret)
	found := w.sees(keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonSecretInvalid)
	if !strings.Contains(found.Message, "has no key secret") {
		t.Errorf("message %q", found.Message)
	}
	edit(w, secret, func(s *corev1.Secret) { s.Data["secret"] = []byte("canary-of-the-cookies") })
	w.sees(keyturnv1alpha1.ConditionReady, metav1.ConditionTrue, keyturnv1alpha1.ReasonReady)
	w.minute(calm(1000))
	w.rolledTo(10)

	var set appsv1.StatefulSet
	w.get(&set, "web-tokenservice")
	pod := set.Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Args, "--legacy-dir=/etc/keyturn/legacy") {
		t.Errorf("arguments %q", pod.Containers[0].Args)
	}
	want := []string{
		"sessions/validator/username", "sessions/validator/password", "sessions/validator/secret",
		"sessions/validator/ca.crt", "sessions/validator/tls.crt", "sessions/validator/tls.key",
	}
	if got := projected(&pod, "legacy"); !slices.Equal(got, want) {
		t.Errorf("the directory holds %v", got)
	}
	var policy networkingv1.NetworkPolicy
	w.get(&policy, "web-tokenservice")
	var ports []int32
	for _, p := range policy.Spec.Egress[0].Ports {
		ports = append(ports, p.Port.IntVal)
	}
	if !slices.Equal(ports, []int32{6379, 8443}) || policy.Spec.Egress[2].To[0].NamespaceSelector.MatchLabels[corev1.LabelMetadataName] != "shop" {
		t.Errorf("egress %+v", policy.Spec.Egress)
	}
}

// TestRolloutDeletion: while its sessions are accepted a rollout stays, and says how to end them.
func TestRolloutDeletion(t *testing.T) {
	w := newWorld(t)
	moving(w)
	w.remove(w.newRollout())
	found := w.sees(keyturnv1alpha1.ConditionReady, metav1.ConditionFalse, keyturnv1alpha1.ReasonSessionsInUse)
	if !strings.Contains(found.Message, keyturnv1alpha1.AnnotationEndSessions) {
		t.Errorf("message %q", found.Message)
	}
	w.minute(calm(1000)) // it goes on
	w.rolledTo(10)
	w.carried(10)
	edit(w, w.newRollout(), func(aro *keyturnv1alpha1.AuthRollout) {
		metav1.SetMetaDataAnnotation(&aro.ObjectMeta, keyturnv1alpha1.AnnotationEndSessions, "true")
	})
	w.eventually("it goes", func() string {
		edge, err := w.edgeDocument()
		if w.get(&keyturnv1alpha1.AuthRollout{}, rolloutName) || err != nil || edge.Rollout != nil {
			return "it is still there"
		}
		if !slices.Contains(w.events(), "SessionsEnded") {
			return "no Event"
		}
		return ""
	})
	w.eventually("settle", w.unhealthy)
	// Without a service nothing keeps one.
	w.create(w.newRollout())
	w.rolledTo(0)
	w.remove(w.newRollout())
	w.remove(w.newService())
	w.eventually("it goes with the service", func() string {
		if w.get(&keyturnv1alpha1.AuthRollout{}, rolloutName) {
			return "it is still there"
		}
		return ""
	})
}
