package controllers

import (
	"strings"
	"testing"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// TestRevocationTellsOfLegacySessions: while the application's own sessions are accepted, the status says which of them go on.
func TestRevocationTellsOfLegacySessions(t *testing.T) {
	w := newWorld(t)
	moving(w)
	const line = "; legacy sessions that never became a login go on (AuthRollout web): end those in the application"
	for name, of := range map[string]func(*keyturnv1alpha1.RevocationSpec){"all": ofAll, "alice": ofUser("staff:alice"), "session": ofSession(aSession)} {
		w.create(w.newRevocation(name, of))
		said := conditionMessage(w.isEnforced(name).Status.Conditions, toldEnforced)
		if strings.HasSuffix(said, line) != (name != "session") || !strings.HasPrefix(said, "all 2 edges refuse it") {
			t.Errorf("%s: message %q", name, said)
		}
	}
}

// TestUntouched has the cases: who finds a user's sessions, and until when there are any.
func TestUntouched(t *testing.T) {
	all, user, session, key := &keyturnv1alpha1.RevocationSpec{}, &keyturnv1alpha1.RevocationSpec{}, &keyturnv1alpha1.RevocationSpec{}, &keyturnv1alpha1.RevocationSpec{}
	ofAll(all)
	ofUser("staff:alice")(user)
	ofSession(aSession)(session)
	ofKey("kid")(key)
	revokers := map[string]*keyturnv1alpha1.LegacyRevoker{
		"none": nil, "http": {HTTP: &keyturnv1alpha1.LegacyWebhook{}},
		"redis": {Redis: &keyturnv1alpha1.LegacyRedis{}}, "index": {Redis: &keyturnv1alpha1.LegacyRedis{UserIndex: new("u:{user}")}},
	}
	for _, row := range []struct {
		what, revoker string
		spec          *keyturnv1alpha1.RevocationSpec
		want          bool
	}{
		{"all", "none", all, true},
		{"all", "http", all, true},
		{"all", "index", all, true},
		{"user", "none", user, true},
		{"user", "redis", user, true},
		{"user", "http", user, false},
		{"user", "index", user, false},
		{"session", "none", session, false},
		{"key", "none", key, false},
	} {
		aro := &keyturnv1alpha1.AuthRollout{}
		aro.Name, aro.Spec.Legacy.Revoker = "web", revokers[row.revoker]
		s := &revocationStep{rev: &keyturnv1alpha1.Revocation{Spec: *row.spec}}
		if got := s.untouched([]*revocationView{{}, {legacy: aro}}); strings.Contains(got, "AuthRollout web") != row.want {
			t.Errorf("%s, revoker %s: %q", row.what, row.revoker, got)
		}
		if got := s.untouched([]*revocationView{{}}); got != "" {
			t.Errorf("%s, after the sunset or without a rollout: %q", row.what, got)
		}
	}
}
