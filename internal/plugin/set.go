package plugin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// SetReport is a SigningKeySet with its keys, the newest first.
type SetReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Source is "status", or "ring" when the ring Secret was read.
	Source    string `json:"source"`
	Ready     string `json:"ready"`
	Algorithm string `json:"algorithm"`
	Mode      string `json:"mode"`
	// Interval is how long a key signs, a Go duration.
	Interval   string `json:"interval"`
	ActiveKID  string `json:"activeKid"`
	StandbyKID string `json:"standbyKid"`
	Revision   int64  `json:"revision"`
	Epoch      int64  `json:"epoch"`
	// Loaded says how many replicas have loaded everything, of all; Waiting names some that have not.
	Loaded  string   `json:"loaded"`
	Waiting []string `json:"waiting,omitempty"`
	// PendingRequest is a rotation request that was not carried out yet.
	PendingRequest string      `json:"pendingRequest,omitempty"`
	Keys           []KeyReport `json:"keys"`
	Next           *NextReport `json:"next,omitempty"`
	Problems       []Problem   `json:"problems"`
	// Notes are what --live found.
	Notes []string `json:"notes,omitempty"`

	skew, prePublish time.Duration
}

// KeyReport is one key. An instant that has not come is absent.
type KeyReport struct {
	KID          string    `json:"kid"`
	Number       int64     `json:"number"`
	Algorithm    string    `json:"algorithm"`
	State        string    `json:"state"`
	Created      time.Time `json:"created,omitzero"`
	Published    time.Time `json:"published,omitzero"`
	SignsSince   time.Time `json:"signsSince,omitzero"`
	SignedUntil  time.Time `json:"signedUntil,omitzero"`
	VerifiesTill time.Time `json:"verifiesUntil,omitzero"`
	// LoadedBy is a count of replicas; "≥2/3" when the status does not say which key a replica lacks.
	LoadedBy string `json:"loadedBy"`
	// MaxTokenTTL is the longest lifetime of a token that the key signed.
	MaxTokenTTL string `json:"maxTokenTTL,omitempty"`

	ttl time.Duration
}

// NextReport is the next step in the life of a key.
type NextReport struct {
	KID       string    `json:"kid"`
	To        string    `json:"to"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	WaitsFor  string    `json:"waitsFor,omitempty"`
}

// NewSetReport makes a report of a set as its status tells it.
func NewSetReport(set *v1alpha1.SigningKeySet) SetReport {
	status := &set.Status
	r := SetReport{
		Namespace: set.Namespace, Name: set.Name, Source: "status",
		Ready:     statusOf(status.Conditions, v1alpha1.ConditionReady),
		Algorithm: string(set.Spec.Algorithm), Mode: string(set.Spec.Rotation.Mode), Interval: set.Spec.Rotation.Interval.Duration.String(),
		ActiveKID: status.ActiveKid, StandbyKID: status.StandbyKid, Revision: status.JWKSRevision, Epoch: status.Epoch,
		Loaded: status.Propagation.Replicas, Waiting: status.Propagation.WaitingFor,
		Keys: []KeyReport{}, Problems: setProblems(set), skew: time.Minute, prePublish: set.Spec.Rotation.PrePublish.Duration,
	}
	if set.Spec.ClockSkew != nil {
		r.skew = set.Spec.ClockSkew.Duration
	}
	if asked := set.Annotations[v1alpha1.AnnotationRotateRequestedAt]; asked != status.RotateRequestObserved {
		r.PendingRequest = asked
	}
	for i := range status.Keys {
		k := &status.Keys[i]
		r.Keys = append(r.Keys, KeyReport{
			KID: k.Kid, Number: k.Sequence, Algorithm: string(k.Algorithm), State: string(k.State),
			Created: k.CreatedTime.Time, Published: k.PublishedTime.Time, SignsSince: k.ActivatedTime.Time,
			SignedUntil: k.RetiringTime.Time, VerifiesTill: k.VerifyUntil.Time,
			LoadedBy: loadedBy(k.State, status.Propagation.Replicas), ttl: k.MaxTokenTTL.Duration,
		})
	}
	if n := status.NextTransition; n != nil {
		r.Next = &NextReport{KID: n.Kid, To: string(n.To), NotBefore: n.NotBefore.Time, WaitsFor: n.BlockedBy}
	}
	return r.finish()
}

// withRing replaces what the ring knows better than the status, and notes where they differ.
func (r SetReport) withRing(ring *keys.Ring) SetReport {
	if r.Epoch != ring.Epoch {
		r.Notes = append(r.Notes, fmt.Sprintf("the status shows epoch %d, the ring has %d: the manager has not reported yet, so LOADED BY, the next step and the problems may be old", r.Epoch, ring.Epoch))
	}
	r.Source, r.Epoch, r.Revision, r.ActiveKID, r.StandbyKID = "ring", ring.Epoch, ring.Revision, "", ""
	if k := ring.Active(); k != nil {
		r.ActiveKID = k.KID
	}
	if k := ring.Standby(); k != nil {
		r.StandbyKID = k.KID
	}
	known := map[string]string{}
	for _, k := range r.Keys {
		known[k.KID] = k.LoadedBy
	}
	r.Keys = []KeyReport{}
	for _, k := range slices.Backward(ring.Keys) {
		r.Keys = append(r.Keys, KeyReport{
			KID: k.KID, Number: k.Sequence, Algorithm: string(k.Algorithm), State: string(k.State), Created: k.Created,
			Published: k.Published, SignsSince: k.Activated, SignedUntil: k.Retiring, VerifiesTill: k.VerifyUntil,
			LoadedBy: known[k.KID], ttl: k.MaxTTL,
		})
	}
	if n := len(ring.Tombstones); n > 0 {
		revoked := 0
		for _, t := range ring.Tombstones {
			if t.State == keys.Revoked {
				revoked++
			}
		}
		r.Notes = append(r.Notes, fmt.Sprintf("the ring remembers %s and %d revoked", count(n-revoked, "removed key"), revoked))
	}
	return r.finish()
}

func (r SetReport) finish() SetReport {
	for i := range r.Keys {
		if k := &r.Keys[i]; k.ttl > 0 {
			k.MaxTokenTTL = k.ttl.String()
		}
	}
	if r.Problems == nil {
		r.Problems = []Problem{}
	}
	return r
}

// loadedBy says who has a key. The status counts replicas that have everything; one that does not may still have the key.
func loadedBy(state v1alpha1.KeyState, replicas string) string {
	loaded, total, ok := strings.Cut(replicas, "/")
	switch {
	case state == v1alpha1.KeyRemoved || state == v1alpha1.KeyRevoked || !ok:
		return ""
	case loaded == total:
		return replicas
	}
	return "≥" + replicas
}

func (r *SetReport) key(kid string) *KeyReport {
	for i := range r.Keys {
		if r.Keys[i].KID == kid {
			return &r.Keys[i]
		}
	}
	return nil
}

// everywhere tells whether every replica has loaded everything, and that there is one.
func (r *SetReport) everywhere() bool {
	loaded, total, ok := strings.Cut(r.Loaded, "/")
	return ok && loaded == total && total != "0"
}

// count writes a number with its noun.
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
