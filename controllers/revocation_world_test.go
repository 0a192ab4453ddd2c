package controllers

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// firstNumber is where the numbers of a store begin.
const firstNumber = 1 << 20

// fakeStore is the session store of all signers of a fleet, and the feed to its edges.
type fakeStore struct {
	numbers map[string]uint64 // by UID
	writes  []snapshot.Revocation
	applied map[string]uint64 // by edge
}

// play does what a replica does with what it knows, and tells it in its status.
func (s *fakeStore) play(status *snapshot.Status, r *fakeReplica, does fault) {
	if s.numbers == nil {
		s.numbers, s.applied = map[string]uint64{}, map[string]uint64{}
	}
	if !r.signer {
		if !does.deaf {
			s.applied[status.Instance] = firstNumber + uint64(len(s.writes))
		}
		status.Revocations = &snapshot.RevocationStatus{Loaded: true, Applied: s.applied[status.Instance], Stale: does.deaf}
		return
	}
	status.Revoked = map[string]uint64{}
	for _, wanted := range r.revoke {
		if s.numbers[wanted.UID] == 0 && !does.storeDown {
			s.writes = append(s.writes, wanted)
			s.numbers[wanted.UID] = firstNumber + uint64(len(s.writes))
		}
		if number := s.numbers[wanted.UID]; number != 0 {
			status.Revoked[wanted.UID] = number
		}
	}
	if does.storeDown {
		status.StoreReason = "the disk is full"
	}
}

// written are the revocations that the store was given, in their order.
func (f *fleet) written() []snapshot.Revocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.store.writes)
}

func (w *world) newRevocation(name string, of func(*keyturnv1alpha1.RevocationSpec)) *keyturnv1alpha1.Revocation {
	rev := &keyturnv1alpha1.Revocation{ObjectMeta: w.meta(name), Spec: keyturnv1alpha1.RevocationSpec{Reason: "a test"}}
	of(&rev.Spec)
	return rev
}

func atService() keyturnv1alpha1.TokenServiceReference {
	return keyturnv1alpha1.TokenServiceReference{Name: serviceName}
}

func ofUser(subject string) func(*keyturnv1alpha1.RevocationSpec) {
	return func(spec *keyturnv1alpha1.RevocationSpec) {
		spec.User = &keyturnv1alpha1.UserRevocation{TokenServiceRef: atService(), Subject: subject}
	}
}

func ofSession(id string) func(*keyturnv1alpha1.RevocationSpec) {
	return func(spec *keyturnv1alpha1.RevocationSpec) {
		spec.Session = &keyturnv1alpha1.SessionRevocation{TokenServiceRef: atService(), ID: id}
	}
}

func ofAll(spec *keyturnv1alpha1.RevocationSpec) {
	spec.All = &keyturnv1alpha1.AllRevocation{TokenServiceRef: atService()}
}

func ofKey(kid string) func(*keyturnv1alpha1.RevocationSpec) {
	return func(spec *keyturnv1alpha1.RevocationSpec) {
		spec.Key = &keyturnv1alpha1.KeyRevocation{SigningKeySetRef: keyturnv1alpha1.SigningKeySetReference{Name: setName}, Kid: kid}
	}
}

func (w *world) revocation(name string) *keyturnv1alpha1.Revocation {
	w.Helper()
	var rev keyturnv1alpha1.Revocation
	w.get(&rev, name)
	return &rev
}

// revocationSays waits for a condition of a Revocation.
func (w *world) revocationSays(name, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	w.Helper()
	var found *metav1.Condition
	w.eventually(fmt.Sprintf("%s: %s is %s %s", name, kind, status, reason), func() string {
		rev := w.revocation(name)
		found = conditions{&rev.Status.Conditions, 0}.find(kind)
		if found == nil || found.Status != status || found.Reason != reason {
			return fmt.Sprintf("%+v", rev.Status)
		}
		return ""
	})
	return found
}

func (w *world) isEnforced(name string) *keyturnv1alpha1.Revocation {
	w.Helper()
	w.revocationSays(name, keyturnv1alpha1.ConditionEnforced, metav1.ConditionTrue, keyturnv1alpha1.ReasonEnforced)
	return w.revocation(name)
}

// revokedInDocument are the entries of the issuer's document, by UID.
func (w *world) revokedInDocument() map[string]snapshot.Revocation {
	w.Helper()
	doc, err := w.issuerDocument()
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]snapshot.Revocation{}
	for _, entry := range doc.Revocations {
		out[entry.UID] = entry
	}
	if len(out) != len(doc.Revocations) || !slices.IsSortedFunc(doc.Revocations, func(a, b snapshot.Revocation) int {
		return slices.Compare([]byte(a.UID), []byte(b.UID))
	}) {
		w.Errorf("the document's revocations are not sorted: %v", slices.Sorted(maps.Keys(out)))
	}
	return out
}
