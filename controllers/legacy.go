package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// rolloutsOf are the AuthRollouts of a TokenService, the oldest first: it is the one that counts, also while it is being
// deleted.
func (b *base) rolloutsOf(ctx context.Context, namespace, service string) ([]keyturnv1alpha1.AuthRollout, error) {
	var all keyturnv1alpha1.AuthRolloutList
	if err := b.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	of := slices.DeleteFunc(all.Items, func(aro keyturnv1alpha1.AuthRollout) bool { return aro.Spec.TokenServiceRef.Name != service })
	slices.SortFunc(of, func(a, b keyturnv1alpha1.AuthRollout) int {
		if byAge := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); byAge != 0 {
			return byAge
		}
		return strings.Compare(a.Name, b.Name)
	})
	return of, nil
}

// rolloutInShort is the ROLLOUT column of a TokenService.
func rolloutInShort(aro *keyturnv1alpha1.AuthRollout) string {
	switch {
	case aro == nil:
		return ""
	case !aro.Status.SunsetReachedTime.IsZero():
		return "Sunset"
	}
	return fmt.Sprintf("%d%%", rolloutState(&aro.Status).Percent)
}

// legacyParty is somebody whom the token service asks about legacy sessions.
type legacyParty struct {
	// name is the directory of its credentials below dirLegacy.
	name, url string
	secret    *keyturnv1alpha1.SecretReference
	keys      []string
}

// legacyParties are the validator, the issuer and the revoker of an AuthRollout; none without one.
func legacyParties(aro *keyturnv1alpha1.AuthRollout) []legacyParty {
	if aro == nil {
		return nil
	}
	var all []legacyParty
	add := func(name string, hook *keyturnv1alpha1.LegacyWebhook, redis *keyturnv1alpha1.LegacyRedis) {
		switch {
		case hook != nil:
			all = append(all, legacyParty{name, hook.URL, hook.SecretRef, []string{keyToken, keyAuthority, keyCertificate, keyPrivate}})
		case redis != nil:
			all = append(all, legacyParty{name, redis.URL, redis.SecretRef, []string{keyUsername, keyPassword, keySecret, keyAuthority, keyCertificate, keyPrivate}})
		}
	}
	legacy := &aro.Spec.Legacy
	add("validator", legacy.Validator.HTTP, legacy.Validator.Redis)
	add("issuer", legacy.Issuer, nil)
	if legacy.Revoker != nil {
		add("revoker", legacy.Revoker.HTTP, legacy.Revoker.Redis)
	}
	return all
}

// mountLegacy mounts the credentials for legacy sessions, one directory each. They are optional: without them sessions get
// 503, and everything else goes on.
func mountLegacy(pod *corev1.PodSpec, aro *keyturnv1alpha1.AuthRollout) {
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o440))}
	for _, party := range legacyParties(aro) {
		if party.secret != nil {
			projected.Sources = append(projected.Sources, projection(party.secret.Name, party.name, party.keys, true))
		}
	}
	if len(projected.Sources) > 0 {
		mount(pod, "legacy", dirLegacy, corev1.VolumeSource{Projected: projected})
	}
}

// legacySecrets are the Secrets that an AuthRollout refers to.
func legacySecrets(aro *keyturnv1alpha1.AuthRollout) []wanted {
	var all []wanted
	for _, party := range legacyParties(aro) {
		if party.secret == nil {
			continue
		}
		signedCookies := party.name == "validator" && aro.Spec.Legacy.Validator.Redis != nil && aro.Spec.Legacy.Validator.Redis.CookieFormat == keyturnv1alpha1.SessionCookieSigned
		all = append(all, wanted{"legacy." + party.name, party.secret.Name, anyOf(party.keys), func(data map[string][]byte) string {
			if signedCookies && len(data[keySecret]) == 0 {
				return fmt.Sprintf("has no key %s: put the secret there with which the application signs its cookies", keySecret)
			}
			return credentials(data, party.keys)
		}})
	}
	return all
}
