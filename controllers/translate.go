package controllers

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// defaultPropagation is what a TokenPolicy has by default.
const defaultPropagation = 5 * time.Second

// keysPolicy is what the planner reads of a SigningKeySet and of the policies of the services that use it.
func keysPolicy(set *keyturnv1alpha1.SigningKeySet, policies []keyturnv1alpha1.TokenPolicy) keys.Policy {
	spec := &set.Spec
	p := keys.Policy{
		UID:        string(set.UID),
		Algorithm:  keys.Algorithm(spec.Algorithm),
		RSABits:    int(spec.RSABits),
		Brought:    spec.KeySource != nil,
		Manual:     spec.Rotation.Mode == keyturnv1alpha1.RotationManual,
		Interval:   spec.Rotation.Interval.Duration,
		PrePublish: spec.Rotation.PrePublish.Duration,
		Standby:    int(deref(spec.Rotation.StandbyKeys, 1)),
		ClockSkew:  deref(spec.ClockSkew, metav1.Duration{Duration: time.Minute}).Duration,
	}
	for i := range policies {
		p.AccessTTL = max(p.AccessTTL, policies[i].Spec.AccessToken.TTL.Duration)
		p.MaxPropagation = max(p.MaxPropagation, policies[i].Spec.Revocation.MaxPropagation.Duration)
	}
	if p.MaxPropagation == 0 {
		p.MaxPropagation = defaultPropagation
	}
	return p
}

// keysReplicas is what the planner reads of the replicas.
func keysReplicas(replicas []replica) []keys.Replica {
	out := make([]keys.Replica, 0, len(replicas))
	for _, r := range replicas {
		k := keys.Replica{Name: r.pod.Name, Signer: r.signer, Reachable: r.status != nil, Read: r.read}
		if s := r.status; s != nil {
			k.Epoch, k.KIDs, k.ActiveKID, k.LatestExp, k.Clock = s.Epoch, s.KIDs, s.ActiveKID, s.LatestExpiry, s.Clock
		}
		out = append(out, k)
	}
	return out
}

// recordedKeys are the keys as the status of a set remembers them.
func recordedKeys(status *keyturnv1alpha1.SigningKeySetStatus) []keys.Key {
	out := make([]keys.Key, 0, len(status.Keys))
	for _, k := range status.Keys {
		out = append(out, keys.Key{
			KID: k.Kid, Algorithm: keys.Algorithm(k.Algorithm), Sequence: k.Sequence, State: keys.State(k.State),
			Created: k.CreatedTime.Time, Published: k.PublishedTime.Time, Activated: k.ActivatedTime.Time,
			Retiring: k.RetiringTime.Time, VerifyUntil: k.VerifyUntil.Time, MaxTTL: k.MaxTokenTTL.Duration,
		})
	}
	return out
}

// seconds is an instant as the API stores it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// keyStatuses show the keys of a ring, the newest first.
func keyStatuses(ring *keys.Ring) []keyturnv1alpha1.KeyStatus {
	var out []keyturnv1alpha1.KeyStatus
	for _, k := range slices.Backward(ring.Keys) {
		out = append(out, keyturnv1alpha1.KeyStatus{
			Kid: k.KID, Algorithm: keyturnv1alpha1.Algorithm(k.Algorithm), Sequence: k.Sequence, State: keyturnv1alpha1.KeyState(k.State),
			CreatedTime: seconds(k.Created), PublishedTime: seconds(k.Published), ActivatedTime: seconds(k.Activated),
			RetiringTime: seconds(k.Retiring), VerifyUntil: seconds(k.VerifyUntil), MaxTokenTTL: metav1.Duration{Duration: k.MaxTTL},
		})
	}
	return out[:min(len(out), maxShownKeys)]
}

// publicKeys is the public part of a ring as both documents carry it. signing is the kid that token services sign with.
func publicKeys(set *keyturnv1alpha1.SigningKeySet, ring *keys.Ring, signing string) snapshot.KeySet {
	out := snapshot.KeySet{
		Name: set.Namespace + "/" + set.Name, Epoch: ring.Epoch, Active: signing,
		ClockSkew: snapshot.Duration(deref(set.Spec.ClockSkew, metav1.Duration{Duration: time.Minute}).Duration),
	}
	for _, k := range ring.Publishable() {
		out.Keys = append(out.Keys, snapshot.Key{KID: k.KID, Algorithm: string(k.Algorithm), JWK: json.RawMessage(k.PublicJWK)})
	}
	slices.SortFunc(out.Keys, func(a, b snapshot.Key) int { return strings.Compare(a.KID, b.KID) })
	return out
}

// resolved is everything that a TokenService refers to.
type resolved struct {
	set    *keyturnv1alpha1.SigningKeySet
	policy *keyturnv1alpha1.TokenPolicy
	// ring is nil while the set's controller has not looked yet at what is stored.
	ring *keys.Ring
	// rollout is the AuthRollout that counts, nil without one.
	rollout *keyturnv1alpha1.AuthRollout
	// access are the AccessPolicies that the edges decide by, the oldest first; clashes says of others, by name, why they do
	// not go with an older one.
	access  []accessEntry
	clashes map[string]string
	// revoking are the revocations that the issuer's document has.
	revoking revoking
	// cluster are the keys of this cluster's ServiceAccount tokens, nil while they are not needed or never were read.
	cluster *clusterKeys
	// clusterTrouble says why they cannot be read, and for how long; nil if they can, or could a short while ago.
	clusterTrouble error
}

// edgeDocument compiles the document of the edge. feedAddress is the cluster address of the revocation feed.
func edgeDocument(tsvc *keyturnv1alpha1.TokenService, refs *resolved, signing, feedAddress string) snapshot.Edge {
	policy := &refs.policy.Spec
	longest := policy.AccessToken.TTL.Duration
	for _, k := range refs.ring.Keys {
		longest = max(longest, k.MaxTTL) // a token signed before the TTL was lowered is still good
	}
	doc := snapshot.Edge{
		Header:            header(tsvc, snapshot.EdgeFormat),
		Keys:              publicKeys(refs.set, refs.ring, signing),
		Audiences:         policy.AccessToken.Audiences,
		MaxTTL:            snapshot.Duration(longest),
		Claims:            policy.Claims.Allow,
		TrustedProxies:    prefixes(tsvc.Spec.TrustedProxies),
		Feed:              snapshot.FeedAddress{Address: feedAddress, ServerName: feedServerName(tsvc)},
		MaxPropagation:    snapshot.Duration(policy.Revocation.MaxPropagation.Duration),
		OnStaleRevocation: string(tsvc.Spec.Edge.OnStaleRevocations),
	}
	if withCookies(policy) {
		doc.AccessCookie = snapshot.AccessCookie
	}
	doc.Rollout, doc.Policies = rolloutDocument(refs.rollout), accessPolicies(refs.access)
	return doc
}

// issuerDocument compiles the document of the token service, without the private half of the signing key. ttl is the lifetime that the
// edges are known to accept.
func issuerDocument(tsvc *keyturnv1alpha1.TokenService, refs *resolved, signing string, ttl time.Duration) snapshot.Issuer {
	policy, jwks := &refs.policy.Spec, &refs.set.Spec.JWKS
	doc := snapshot.Issuer{
		Header: header(tsvc, snapshot.IssuerFormat),
		Keys:   publicKeys(refs.set, refs.ring, signing),
		JWKS: snapshot.JWKSCaching{
			MaxAge:       snapshot.Duration(jwks.MaxAge.Duration),
			StaleIfError: snapshot.Duration(deref(jwks.StaleIfError, metav1.Duration{Duration: time.Hour}).Duration),
		},
		Access: snapshot.AccessToken{
			TTL: snapshot.Duration(ttl), Audiences: policy.AccessToken.Audiences,
			Claims: policy.Claims.Allow, MaxClaimBytes: int(policy.Claims.MaxBytes),
		},
		Refresh: snapshot.RefreshToken{
			IdleTTL: snapshot.Duration(policy.RefreshToken.TTL.Duration), AbsoluteTTL: snapshot.Duration(policy.RefreshToken.AbsoluteTTL.Duration),
			RetryWindow:        snapshot.Duration(deref(policy.RefreshToken.Reuse.RetryWindow, metav1.Duration{Duration: 10 * time.Second}).Duration),
			MaxFamiliesPerUser: int(policy.RefreshToken.MaxFamiliesPerUser),
		},
		LoginLimit:     snapshot.RateLimit{Limit: int(policy.Login.RateLimit.Limit), Window: snapshot.Duration(policy.Login.RateLimit.Window.Duration)},
		FailureLimit:   failureLimit(&policy.Login.FailureLimit),
		Browser:        browser(policy),
		MaxPropagation: snapshot.Duration(policy.Revocation.MaxPropagation.Duration),
		Identity:       identitySources(tsvc.Spec.Identity, refs.cluster),
		Clients:        clients(tsvc.Spec.Clients),
		TrustedProxies: prefixes(tsvc.Spec.TrustedProxies),
		Rollout:        rolloutDocument(refs.rollout),
		Legacy:         legacyDocument(refs.rollout),
		Revocations:    refs.revoking.entries,
	}
	return doc
}

func header(tsvc *keyturnv1alpha1.TokenService, format string) snapshot.Header {
	return snapshot.Header{Format: format, TokenService: tsvc.Namespace + "/" + tsvc.Name, Issuer: tsvc.Spec.Issuer}
}

func prefixes(cidrs []string) []netip.Prefix {
	var out []netip.Prefix
	for _, cidr := range cidrs {
		if p, err := netip.ParsePrefix(cidr); err == nil { // the API server admits nothing else
			out = append(out, p)
		}
	}
	return out
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
