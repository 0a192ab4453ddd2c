package controllers

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// takesCluster tells whether a source takes this cluster's ServiceAccount tokens.
func takesCluster(tsvc *keyturnv1alpha1.TokenService) bool {
	return slices.ContainsFunc(tsvc.Spec.Identity, func(s keyturnv1alpha1.IdentitySource) bool { return s.Kubernetes != nil })
}

// takesIssuer tells whether an oidc source takes tokens of that issuer.
func takesIssuer(tsvc *keyturnv1alpha1.TokenService, issuer string) bool {
	return slices.ContainsFunc(tsvc.Spec.Identity, func(s keyturnv1alpha1.IdentitySource) bool { return s.OIDC != nil && s.OIDC.IssuerURL == issuer })
}

// readCluster gets the cluster's keys where a source needs them. A failure keeps those that are known and is an Event;
// when it lasts, it is trouble.
func (r *tokenServiceReconciler) readCluster(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, refs *resolved) {
	if !takesCluster(tsvc) {
		return
	}
	now := r.now()
	found := r.cluster.get(ctx, now)
	refs.cluster = found.keys
	if found.keys != nil && takesIssuer(tsvc, found.keys.Issuer) {
		// Token services refuse a document with two sources of one issuer.
		refs.cluster = nil
		refs.clusterTrouble = stop(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonInvalidSpec,
			"an oidc source has the issuerURL %s, which is this cluster's, and a kubernetes source takes its tokens too: remove one of the two", found.keys.Issuer)
		return
	}
	if found.news {
		r.recorder.Eventf(tsvc, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonClusterKeysUnavailable, "ReadClusterKeys",
			"the keys of this cluster's ServiceAccount tokens cannot be read, the last good ones stay in force: %v", found.err)
	}
	if found.err == nil || found.keys != nil && now.Sub(found.good) < clusterGrace {
		return
	}
	since := "have not been read since the manager started"
	if found.keys != nil {
		since = "have not been read since " + found.good.UTC().Format(time.RFC3339)
	}
	refs.clusterTrouble = stop(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonClusterKeysUnavailable,
		"the keys of this cluster's ServiceAccount tokens %s; the last good ones stay in force, without any nobody is let in by them: %v; "+
			"the manager needs to get /.well-known/openid-configuration and /openid/v1/jwks (ClusterRole keyturn-manager)", since, found.err)
}

// lastGood takes the cluster's keys from a document of ours, for a manager that has just started and cannot read them.
func lastGood(tsvc *keyturnv1alpha1.TokenService, doc *snapshot.Issuer) *clusterKeys {
	if doc == nil {
		return nil
	}
	for _, source := range doc.Identity {
		if k := source.Kubernetes; k != nil && !takesIssuer(tsvc, k.Issuer) {
			return &clusterKeys{k.Issuer, k.JWKS}
		}
	}
	return nil
}
