package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// keySource is what was read of the Secret with the keys that the owner of a set brings. Nil: the keys are made.
type keySource struct {
	name   string
	secret *corev1.Secret // nil: there is none that may be read
	reason string         // why not; empty: it may
	why    string
	// entries are in the order in which they are taken.
	entries []keysecret.Entry
}

// observeSource reads the owner's Secret live, judges what is in it and tells the planner what it may take.
func (r *signingKeySetReconciler) observeSource(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet) error {
	if set.Spec.KeySource == nil {
		return nil
	}
	source := &keySource{name: set.Spec.KeySource.SecretRef.Name}
	seen.source = source
	var secret corev1.Secret
	err := r.live.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: source.name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		source.reason = keyturnv1alpha1.ReasonSecretNotFound
		source.why = fmt.Sprintf("Secret %s, which spec.keySource names, does not exist: create it, with one private key an entry", source.name)
	case err != nil:
		return err
	case keysecret.Made(&secret):
		source.reason = keyturnv1alpha1.ReasonKeyRefused
		source.why = fmt.Sprintf("Secret %s is one in which Keyturn keeps keys itself: name one of yours in spec.keySource", source.name)
	default:
		source.secret, source.entries = &secret, r.sources.Entries(&secret)
	}
	for _, e := range source.entries {
		if e.Good(seen.policy.Algorithm) {
			seen.observed.Offered = append(seen.observed.Offered, keys.Key{KID: e.KID, Algorithm: seen.policy.Algorithm, Bits: e.Bits})
		}
	}
	seen.observed.NoneLeft = source.noneLeft(seen.policy.Algorithm)
	return nil
}

// noneLeft is what is said wherever a key is wanted and none can be taken.
func (s *keySource) noneLeft(algorithm keys.Algorithm) string {
	if s.secret == nil {
		return s.why
	}
	refused, other := 0, 0
	for i := range s.entries {
		switch e := &s.entries[i]; {
		case e.Refused != "":
			refused++
		case !e.Good(algorithm):
			other++
		}
	}
	besides := ""
	if refused > 0 || other > 0 {
		besides = fmt.Sprintf(" (of its %d entries %d are refused and %d are for another algorithm: see ResolvedRefs)", len(s.entries), refused, other)
	}
	return fmt.Sprintf("Secret %s holds no %s key that was not used yet: add an entry%s", s.name, algorithm, besides)
}

// waits tells whether somebody has to do something about the Secret.
func (s *keySource) waits(plan *keys.Plan) bool {
	return s != nil && (plan.Found(keys.NoKeyLeft) != nil || s.secret == nil)
}

// chosen is the entry with the key that a plan wants.
func (s *keySource) chosen(wanted *keys.Generate) *keysecret.Entry {
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.entries, func(e keysecret.Entry) bool { return e.KID == wanted.Take && e.Good(wanted.Algorithm) })
	if i < 0 {
		return nil
	}
	return &s.entries[i]
}

// take reads the private key that a plan wants, from the Secret that was judged.
func (s *keySource) take(wanted *keys.Generate) (*token.PrivateKey, error) {
	entry := s.chosen(wanted)
	if entry == nil {
		return nil, fmt.Errorf("key %s is in no Secret that was read", short(wanted.Take))
	}
	return keysecret.Take(s.secret, entry, wanted.Algorithm)
}

// recordTaken tells which entry became which key.
func (r *signingKeySetReconciler) recordTaken(set *keyturnv1alpha1.SigningKeySet, source *keySource, wanted *keys.Generate) {
	r.recorder.Eventf(set, nil, corev1.EventTypeNormal, keyturnv1alpha1.ReasonKeyTaken, "Take",
		"entry %s of Secret %s is key %s (number %d) from now on: a copy is kept in Secret %s", source.chosen(wanted).Name, source.name, short(wanted.Take), wanted.Sequence, keysecret.KeyName(set.Name, wanted.Sequence))
}

// takenOf adds the kids that the ring has taken to those that are known. A list that is full stays: nothing is taken any more.
func takenOf(known []string, ring *keys.Ring) []string {
	out := slices.Clone(known)
	for _, kid := range ring.Taken {
		if !slices.Contains(out, kid) {
			out = append(out, kid)
		}
	}
	return out[:min(len(out), keyturnv1alpha1.MaxTakenKids)]
}

// sourceCondition says what became of the Secret that the set refers to; a set that refers to none has no such condition.
func sourceCondition(conds conditions, seen *observedSet) {
	const kind = keyturnv1alpha1.ConditionResolvedRefs
	source := seen.source
	if source == nil {
		meta.RemoveStatusCondition(conds.list, kind)
		return
	}
	if source.secret == nil {
		conds.bad(kind, source.reason, "%s", source.why)
		return
	}
	refused, good := source.tell(seen)
	if len(refused) > 0 {
		conds.bad(kind, keyturnv1alpha1.ReasonKeyRefused, "Secret %s: %s; %s", source.name, listed(refused, mostToldEntries), good)
		return
	}
	conds.good(kind, keyturnv1alpha1.ReasonResolved, "Secret %s: %s", source.name, good)
}

// Bounds of what a message tells of the entries.
const (
	mostToldEntries = 3
	mostToldName    = 64
)

// tell says of the entries which are refused and why, and how many of the others can be taken yet.
func (s *keySource) tell(seen *observedSet) (refused []string, good string) {
	var unused, other []string
	keysHere := 0
	for i := range s.entries {
		e := &s.entries[i]
		name := clip(e.Name, mostToldName)
		switch {
		case e.Refused != "":
			refused = append(refused, "entry "+name+" is refused: "+e.Refused)
		case !e.Good(seen.policy.Algorithm):
			other = append(other, fmt.Sprintf("%s (%s)", name, algorithms(e)))
		default:
			if keysHere++; !seen.ring.Knows(e.KID) {
				unused = append(unused, name)
			}
		}
	}
	good = fmt.Sprintf("%d keys for %s, %d not used yet", keysHere, seen.policy.Algorithm, len(unused))
	if len(unused) > 0 {
		good += ": " + listed(unused, mostToldEntries)
	}
	if len(other) > 0 {
		good += "; for another algorithm, and not taken until spec.algorithm says so: " + listed(other, mostToldEntries)
	}
	return refused, good
}

func algorithms(e *keysecret.Entry) string {
	var all []string
	for _, a := range e.Algorithms {
		all = append(all, string(a))
	}
	return strings.Join(all, " or ")
}

// listed names some and counts the rest.
func listed(all []string, most int) string {
	out := strings.Join(all[:min(len(all), most)], "; ")
	if more := len(all) - most; more > 0 {
		out += fmt.Sprintf("; and %d more", more)
	}
	return out
}
