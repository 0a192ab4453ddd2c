package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestLegacyDocument(t *testing.T) {
	second := metav1.Duration{Duration: time.Second}
	aro := &keyturnv1alpha1.AuthRollout{Spec: keyturnv1alpha1.AuthRolloutSpec{Legacy: keyturnv1alpha1.LegacySpec{
		CookieName: "SESSION", SubjectPrefix: "shop:",
		Validator: keyturnv1alpha1.LegacyValidator{Redis: &keyturnv1alpha1.LegacyRedis{
			URL: "redis://sessions.shop.svc", Key: "spring:session:sessions:{id}", CookieFormat: keyturnv1alpha1.SessionCookieBase64,
			Format: keyturnv1alpha1.SessionHash, User: "a#b", Role: new("c"), UserIndex: new("d:{user}"),
		}},
		Issuer:  &keyturnv1alpha1.LegacyWebhook{URL: "https://shop.example.com/sessions", Timeout: second},
		Revoker: &keyturnv1alpha1.LegacyRevoker{HTTP: &keyturnv1alpha1.LegacyWebhook{URL: "https://shop.example.com/revoke", Timeout: second}},
	}}}
	want := &snapshot.Legacy{
		SubjectPrefix: "shop:",
		Validator: snapshot.LegacyValidator{Redis: &snapshot.LegacyRedis{
			URL: "redis://sessions.shop.svc", Key: "spring:session:sessions:{id}", Cookie: "Base64", Format: "Hash", User: "a#b", Role: "c", UserIndex: "d:{user}",
		}},
		Issuer:  &snapshot.LegacyWebhook{URL: "https://shop.example.com/sessions", Timeout: snapshot.Duration(time.Second)},
		Revoker: &snapshot.LegacyRevoker{HTTP: &snapshot.LegacyWebhook{URL: "https://shop.example.com/revoke", Timeout: snapshot.Duration(time.Second)}},
	}
	if legacyDocument(aro) != nil {
		t.Error("sessions are taken before the rollout was looked at")
	}
	aro.Status.State = &keyturnv1alpha1.RolloutState{}
	if diff := cmp.Diff(want, legacyDocument(aro)); diff != "" {
		t.Error(diff)
	}
	if legacyDocument(nil) != nil {
		t.Error("there are sessions without a rollout")
	}
}

// The application's users are those of a source, or nobody's.
func TestStrangePrefix(t *testing.T) {
	for _, row := range []struct {
		legacy  string
		sources []string
		want    string // the source that is in the way
	}{
		{"", []string{""}, ""},
		{"shop:", []string{"shop:"}, ""},
		{"shop:", []string{"staff:", "shop:", "corp:"}, ""},
		{"shop:", []string{"staff:", "corp:"}, ""},
		{"", []string{"staff:"}, ""}, // whole subjects
		{"", []string{"staff:", "corp:"}, ""},
		{"shop:", []string{""}, "0"},
		{"staff:x", []string{"corp:", "staff:"}, "1"},
		{"st", []string{"corp:", "guest:", "staff:"}, "2"},
	} {
		aro, tsvc := &keyturnv1alpha1.AuthRollout{}, &keyturnv1alpha1.TokenService{}
		aro.Spec.Legacy.SubjectPrefix = row.legacy
		for i, prefix := range row.sources {
			tsvc.Spec.Identity = append(tsvc.Spec.Identity, keyturnv1alpha1.IdentitySource{Name: string(rune('0' + i)), SubjectPrefix: prefix})
		}
		if got := strangePrefix(aro, tsvc); got != row.want {
			t.Errorf("%q beside %q: %q is in the way, want %q", row.legacy, row.sources, got, row.want)
		}
	}
}

// A rollout whose sessions could be taken for somebody else's says so, and goes on when that is mended.
func TestRolloutWithAStrangePrefix(t *testing.T) {
	w := newWorld(t)
	w.declare()
	aro := w.newRollout()
	aro.Spec.Legacy.SubjectPrefix = "shop:" // the only source has none
	w.create(aro)
	found := w.sees(keyturnv1alpha1.ConditionAccepted, metav1.ConditionFalse, keyturnv1alpha1.ReasonInvalidSpec)
	if !strings.Contains(found.Message, `legacy.subjectPrefix "shop:" and that of identity`) {
		t.Errorf("message %q", found.Message)
	}
	edit(w, aro, func(a *keyturnv1alpha1.AuthRollout) { a.Spec.Legacy.SubjectPrefix = "" })
	w.sees(keyturnv1alpha1.ConditionAccepted, metav1.ConditionTrue, keyturnv1alpha1.ReasonAccepted)
}
