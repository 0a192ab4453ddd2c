package plugin

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// now is when every test happens.
var now = time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)

const (
	day = 24 * time.Hour

	kid1 = "1c0ffee0R5cXm3kqYf2m0d7vJ8nYt1pQeL4wZs6uHa0"
	kid2 = "b41e02aaT7xQv9Lr2nWc5sKd8pJf1mYh4gZu6eRb3o0"
	kid3 = "9f2c01aaH3bNk6Vt8yXq1wEr4uJm7sLp0dGf2zCi5a0"
)

func at(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago)) }

func lasts(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

func condition(kind, status, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: at(12 * time.Minute),
	}
}

// settledSet signs with its second key for ten days; the third stands by.
func settledSet() *v1alpha1.SigningKeySet {
	skew, standby := lasts(time.Minute), int32(1)
	return &v1alpha1.SigningKeySet{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "SigningKeySet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "main", Generation: 1},
		Spec: v1alpha1.SigningKeySetSpec{
			Algorithm: v1alpha1.RS256, RSABits: 2048, ClockSkew: &skew,
			Rotation: v1alpha1.RotationSpec{Mode: v1alpha1.RotationAutomatic, Interval: lasts(30 * day), PrePublish: lasts(day), StandbyKeys: &standby},
		},
		Status: v1alpha1.SigningKeySetStatus{
			ObservedGeneration: 1, ActiveKid: kid2, Active: kid2[:8], ActiveSince: at(10 * day), StandbyKid: kid3, Standby: kid3[:8],
			JWKSRevision: 6, Epoch: 9, Next: "rotate 2026-12-21T10:00Z",
			NextTransition: &v1alpha1.KeyTransition{Kid: kid3, To: v1alpha1.KeyActive, NotBefore: at(-20 * day)},
			Propagation:    v1alpha1.PropagationStatus{Revision: 6, Replicas: "3/3"},
			Keys: []v1alpha1.KeyStatus{
				{Kid: kid3, Algorithm: v1alpha1.RS256, Sequence: 3, State: v1alpha1.KeyPublished, CreatedTime: at(10*day - time.Minute), PublishedTime: at(10*day - 2*time.Minute)},
				{Kid: kid2, Algorithm: v1alpha1.RS256, Sequence: 2, State: v1alpha1.KeyActive, CreatedTime: at(40 * day), PublishedTime: at(40*day - time.Minute), ActivatedTime: at(10 * day), MaxTokenTTL: lasts(15 * time.Minute)},
			},
			Conditions: []metav1.Condition{
				condition("Ready", "True", "Ready", "key b41e02aa signs"),
				condition("Published", "True", "AsExpected", "all 3 replicas have loaded revision 6"),
				condition("StandbyReady", "True", "AsExpected", "key 9f2c01aa is published and can take over at once"),
				condition("RotationOverdue", "False", "AsExpected", "no rotation is late"),
				condition("ClockSkewed", "False", "AsExpected", "all clocks agree within spec.clockSkew"),
				condition("KeyMaterialLost", "False", "AsExpected", "every private half is in place"),
				condition("RestoreDetected", "False", "AsExpected", "no replica holds a newer ring"),
			},
		},
	}
}

// rotatedSet has just rotated: the first key verifies for twelve more minutes.
func rotatedSet() *v1alpha1.SigningKeySet {
	set := settledSet()
	set.Status.ActiveSince = at(5 * time.Minute)
	set.Status.Keys[1].ActivatedTime = at(5 * time.Minute)
	set.Status.Keys[0].CreatedTime, set.Status.Keys[0].PublishedTime = at(5*time.Minute), at(4*time.Minute)
	set.Status.NextTransition.NotBefore = at(5*time.Minute - 30*day)
	set.Status.Keys = append(set.Status.Keys, v1alpha1.KeyStatus{
		Kid: kid1, Algorithm: v1alpha1.RS256, Sequence: 1, State: v1alpha1.KeyRetiring, CreatedTime: at(40 * day), PublishedTime: at(40*day - time.Minute),
		ActivatedTime: at(30 * day), RetiringTime: at(5 * time.Minute), VerifyUntil: at(-12 * time.Minute), MaxTokenTTL: lasts(15 * time.Minute),
	})
	return set
}

// stuckSet has a rotation that an edge holds up.
func stuckSet() *v1alpha1.SigningKeySet {
	set := settledSet()
	why := "kid 9f2c01aa not yet loaded by web-extauthz-7c9f6d-x2x4q (has epoch 8, wants 9), and 1 more"
	set.Status.ActiveSince = at(33 * day)
	set.Status.Keys[1].ActivatedTime, set.Status.Keys[1].CreatedTime, set.Status.Keys[1].PublishedTime = at(33*day), at(63*day), at(63*day)
	set.Status.Keys[0].CreatedTime, set.Status.Keys[0].PublishedTime, set.Status.Keys[0].State = at(33*day), metav1.Time{}, v1alpha1.KeyPending
	set.Status.NextTransition = &v1alpha1.KeyTransition{Kid: kid3, To: v1alpha1.KeyActive, NotBefore: at(3 * day), BlockedBy: why}
	set.Status.Propagation = v1alpha1.PropagationStatus{Revision: 6, Replicas: "1/3", WaitingFor: []string{"web-extauthz-7c9f6d-x2x4q", "web-extauthz-7c9f6d-zzk8l"}}
	late := "kid b41e02aa was due to be replaced at 2026-11-28T10:00:00Z: " + why
	set.Status.Conditions[0] = condition("Ready", "False", "RotationOverdue", late)
	set.Status.Conditions[1] = condition("Published", "False", "WaitingForReplicas", why)
	set.Status.Conditions[2] = condition("StandbyReady", "False", "StandbyPending", "0 of 1 standby keys are published")
	set.Status.Conditions[3] = condition("RotationOverdue", "True", "RotationOverdue", late)
	return set
}

// newSet was applied a moment ago.
func newSet() *v1alpha1.SigningKeySet {
	set := settledSet()
	set.Status = v1alpha1.SigningKeySetStatus{}
	return set
}

// manualSet rotates on request only and is in another namespace.
func manualSet() *v1alpha1.SigningKeySet {
	set := settledSet()
	set.Namespace, set.Name = "shop", "partner"
	set.Spec.Rotation.Mode, set.Spec.Algorithm = v1alpha1.RotationManual, v1alpha1.EdDSA
	set.Status.NextTransition = nil
	for i := range set.Status.Keys {
		set.Status.Keys[i].Algorithm = v1alpha1.EdDSA
	}
	return set
}

func healthyService() *v1alpha1.TokenService {
	return &v1alpha1.TokenService{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TokenService"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web", Generation: 1},
		Spec: v1alpha1.TokenServiceSpec{
			Issuer: "https://auth.example.com", SigningKeySetRef: v1alpha1.SigningKeySetReference{Name: "main"}, TokenPolicyRef: v1alpha1.TokenPolicyReference{Name: "web"},
			Replicas: 1, Store: v1alpha1.StoreSpec{Embedded: &v1alpha1.EmbeddedStore{}}, TrustedProxies: []string{"10.244.0.0/16"},
			Identity: []v1alpha1.IdentitySource{{Name: "staff", SubjectPrefix: "staff:", HTPasswd: &v1alpha1.HTPasswdSource{SecretRef: v1alpha1.SecretReference{Name: "users"}}}},
		},
		Status: v1alpha1.TokenServiceStatus{
			ObservedGeneration: 1, IssuerRevision: 7, EdgeRevision: 6, ActiveKid: kid2, Key: kid2[:8], Epoch: 9, Replicas: "1/1", Edge: "2/2",
			Endpoints: v1alpha1.TokenServiceEndpoints{TokenService: "web-tokenservice.demo.svc:8080", EdgeGRPC: "web-extauthz.demo.svc:9000", EdgeHTTP: "web-extauthz.demo.svc:8080"},
			Conditions: []metav1.Condition{
				condition("Ready", "True", "Ready", "users can log in, and the edge decides by the newest keys"),
				condition("ResolvedRefs", "True", "Resolved", "every reference exists"),
				condition("KeysLoaded", "True", "AsExpected", "all 3 replicas have loaded key b41e02aa at epoch 9"),
				condition("StoreReachable", "True", "AsExpected", "the last store operation of every token service worked"),
				condition("ClientAddressKnown", "True", "AsExpected", "every peer seen lately is a trusted proxy"),
				condition("Available", "True", "AsExpected", "1 token services and 2 edges are ready"),
			},
		},
	}
}

// troubledService cannot reach its store, waits for edges and is asked by a stranger.
func troubledService() *v1alpha1.TokenService {
	tsvc := healthyService()
	store := "web-tokenservice-0 cannot read or write its store: login, refresh and logout answer 503; look at its volume and its log"
	loaded := "web-extauthz-7c9f6d-x2x4q has revision 5, wants 6; web-extauthz-7c9f6d-zzk8l does not answer: connection refused"
	tsvc.Status.Edge = "0/2"
	tsvc.Status.Conditions[0] = condition("Ready", "False", "ReplicaUnreachable", loaded)
	tsvc.Status.Conditions[2] = condition("KeysLoaded", "False", "ReplicaUnreachable", loaded)
	tsvc.Status.Conditions[3] = condition("StoreReachable", "False", "StoreUnavailable", store)
	tsvc.Status.Conditions[4] = condition("ClientAddressKnown", "False", "UntrustedPeer", "web-tokenservice-0 is asked by 192.0.2.7, which is not one of spec.trustedProxies: add it if it is your ingress")
	return tsvc
}

func webPolicy() *v1alpha1.TokenPolicy {
	used := int32(1)
	return &v1alpha1.TokenPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TokenPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web", Generation: 1},
		Spec: v1alpha1.TokenPolicySpec{
			AccessToken:  v1alpha1.AccessTokenSpec{TTL: lasts(15 * time.Minute), Audiences: []string{"https://api.example.com"}},
			RefreshToken: v1alpha1.RefreshTokenSpec{TTL: lasts(7 * day), AbsoluteTTL: lasts(30 * day)},
		},
		Status: v1alpha1.TokenPolicyStatus{ObservedGeneration: 1, UsedBy: &used, Conditions: []metav1.Condition{condition("Accepted", "True", "Accepted", "")}},
	}
}

// The hashes of the samples: sample-password-alice and sample-password-bob.
const (
	aliceHash = "$2y$10$4vQlwius0RhYBd8ls0uuKuQS1V/Z.ypwM71CGwuzlSb.mKgtSZbe6"
	bobHash   = "$argon2id$v=19$m=19456,t=2,p=1$MLsJUTP9QdU/rbeuj64FMQ$IRMm8mkHpJOk6ygDeHDf6PZLkcQBY6+Z4fkhvOxnUaQ"
)

func usersSecret() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "users"}, Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{
			"htpasswd": []byte("# staff\nalice:" + aliceHash + "\n\nbob:" + bobHash + "\n"),
			"roles":    []byte("alice: admin\n"),
			"other":    []byte("not ours"),
		},
	}
}
