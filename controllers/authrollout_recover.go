package controllers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// A status can be lost: a backup was restored without it, an object was made anew from Git, somebody emptied it. Users must
// not go back to 0 % for that, and a session that was refused once stays refused. The documents of the TokenService say
// what is in force, and who writes them waits for the status: so both controllers read the same from them and neither has to
// be first.

// inDocuments is what the documents of a TokenService say of a rollout.
type inDocuments struct {
	// rollout is what they say of it, nil if none names it.
	rollout *snapshot.Rollout
	// believed: they are as the manager wrote them.
	believed bool
	// others: they carry a rollout, of whatever name, or cannot be read.
	others bool
	// sunset: one that names it has the sunset reached.
	sunset bool
}

// trust tells whether a stored document is as it was written; known whether anybody can tell.
type trust func(name, recorded string, stored []byte) (ours, known bool)

// byDigest trusts what the status of the TokenService has the digest of.
func byDigest(_, recorded string, stored []byte) (ours, known bool) {
	return recorded != "" && digestOf(stored) == recorded, recorded != ""
}

// trusted trusts also what this manager has written and not recorded yet.
func (w *writtenDocuments) trusted(service types.UID) trust {
	return func(name, recorded string, stored []byte) (ours, known bool) {
		w.mu.Lock()
		last := w.last[writtenDocument{service, name}]
		w.mu.Unlock()
		digest := digestOf(stored)
		return digest == last || digest == recorded, last != "" || recorded != ""
	}
}

// rolloutInDocuments reads both documents. One that is as it was written decides. Where the digests are lost as well, both
// must say the same: who can write both Secrets can sign tokens, and needs no percentage.
func (b *base) rolloutInDocuments(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, of string, trusts trust) (found inDocuments, err error) {
	names := namesOf(tsvc)
	var named []*snapshot.Rollout
	unknown := true
	for _, document := range []struct {
		name, digest string
		decode       func([]byte) (*snapshot.Rollout, error)
	}{
		{names.edgeSnapshot, tsvc.Status.EdgeDigest, func(raw []byte) (*snapshot.Rollout, error) {
			doc, err := snapshot.DecodeEdge(raw)
			return doc.Rollout, err
		}},
		{names.issuerSnapshot, tsvc.Status.IssuerDigest, func(raw []byte) (*snapshot.Rollout, error) {
			doc, err := snapshot.DecodeIssuer(raw)
			return doc.Rollout, err
		}},
	} {
		secret, err := b.ownedSecret(ctx, tsvc, document.name)
		if foreign := (&errForeign{}); errors.As(err, &foreign) {
			continue // the TokenService says so
		}
		if err != nil {
			return inDocuments{}, err
		}
		if secret == nil {
			continue
		}
		says, err := document.decode(secret.Data[snapshotKey])
		found.others = found.others || err != nil || says != nil
		ours, known := trusts(document.name, document.digest, secret.Data[snapshotKey])
		unknown = unknown && !known
		if err != nil || says == nil || says.Name != of {
			continue
		}
		named = append(named, says)
		found.sunset = found.sunset || says.SunsetReached
		if ours && !found.believed {
			found.rollout, found.believed = says, true
		}
	}
	if !found.believed && len(named) > 0 {
		found.rollout = named[0]
		found.believed = unknown && len(named) == 2 && reflect.DeepEqual(named[0], named[1])
	}
	return found, nil
}

// recoveredState is the state that a document stands for. The step bakes anew and is judged anew. A command that the object
// still carries was carried out before, or would have been: it is not repeated, and a hold goes on.
func recoveredState(aro *keyturnv1alpha1.AuthRollout, doc *snapshot.Rollout, now time.Time) rollout.State {
	state := rollout.State{Since: now}
	command, _ := commandOf(aro, state)
	state.Command = command.ID
	switch command.Action {
	case rollout.Hold:
		state.HeldBy = rollout.Held
	case rollout.Abort:
		state.HeldBy = rollout.Aborted
	default:
	}
	if doc.Salt != aro.Spec.Bucketing.Salt {
		return state // an object of the same name that divides the users otherwise
	}
	state.Percent = min(max(doc.Percent, 0), 100)
	for i, step := range aro.Spec.Steps {
		if int(step.Percent) <= state.Percent {
			state.Position = i + 1
		}
	}
	return state
}

// takeOver fills in a status that has no state from a document.
func takeOver(aro *keyturnv1alpha1.AuthRollout, doc *snapshot.Rollout, now time.Time) {
	aro.Status.State = stateStatus(recoveredState(aro, doc, now))
	if doc.SunsetReached && aro.Status.SunsetReachedTime.IsZero() {
		reached := now
		if s := aro.Spec.Sunset; s != nil && s.At.Time.Before(now) {
			reached = s.At.Time // at the earliest; nobody knows any more
		}
		aro.Status.SunsetReachedTime = seconds(reached)
	}
}

// recoverStatus goes on where a lost status was. A rollout that was never in force begins.
func (r *authRolloutReconciler) recoverStatus(ctx context.Context, s *rolloutStep) error {
	if s.aro.Status.State != nil {
		return nil
	}
	of := s.aro.Namespace + "/" + s.aro.Name
	found, err := r.rolloutInDocuments(ctx, s.service, of, byDigest)
	if err != nil || found.rollout == nil {
		return err
	}
	if !found.believed {
		return stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonStatusLost,
			"the status is lost, and the documents of TokenService %s are not as they were written, so they do not tell the percentage: waiting until they are put right; what is in force stays in force", s.service.Name)
	}
	takeOver(s.aro, found.rollout, s.now)
	state := s.aro.Status.State
	if state.Percent == 0 && s.aro.Status.SunsetReachedTime.IsZero() {
		return nil // as a rollout begins
	}
	s.recovered = fmt.Sprintf("the status was lost; the documents of TokenService %s have %d%%", s.service.Name, state.Percent)
	if !s.aro.Status.SunsetReachedTime.IsZero() {
		s.recovered += ", and the sunset"
	}
	s.record(keyturnv1alpha1.ChangeRecovered, int(state.Percent), int(state.Percent), "Recovery", s.recovered)
	return nil
}

// begun is a rollout as documents are made of it. Without a state it has not begun, and is not in them; unless they name
// it, whose status was lost, or it comes after another one: then they must not let go of the sessions meanwhile. What
// documents that are not believed say of it stays too: replicas work with it already, to write 0 % would move users, and a
// sunset that any of them has never goes back.
func (r *tokenServiceReconciler) begun(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout) (*keyturnv1alpha1.AuthRollout, error) {
	if aro.Status.State != nil {
		return aro, nil
	}
	found, err := r.rolloutInDocuments(ctx, tsvc, aro.Namespace+"/"+aro.Name, r.written.trusted(tsvc.UID))
	if err != nil || !found.others {
		return aro, err
	}
	aro = aro.DeepCopy()
	switch {
	case found.believed:
		takeOver(aro, found.rollout, r.now())
	case found.rollout != nil:
		kept := *found.rollout
		kept.SunsetReached = found.sunset
		takeOver(aro, &kept, r.now())
	default:
		aro.Status.State = &keyturnv1alpha1.RolloutState{}
	}
	return aro, nil
}
