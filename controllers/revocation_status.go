package controllers

import (
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// maxWaiting bounds the replicas that a status and a message name.
const maxWaiting = 8

// report writes down what was seen.
func (r *revocationReconciler) report(s *revocationStep) {
	status := &s.rev.Status
	status.Kind, status.What = inShort(s.rev)
	const accepted, resolved = keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ConditionResolvedRefs
	if why := invalidRevocation(s.rev); why != "" {
		s.conds.bad(accepted, keyturnv1alpha1.ReasonInvalidSpec, "%s", why)
	} else {
		s.conds.good(accepted, keyturnv1alpha1.ReasonAccepted, "it is being carried out; deleting this object takes nothing back")
	}
	if s.unresolved != nil {
		s.conds.bad(resolved, s.unresolved.reason, "%s", s.unresolved.message)
	} else {
		s.conds.good(resolved, keyturnv1alpha1.ReasonResolved, "what it names exists")
	}
	for _, kind := range []string{accepted, resolved} {
		if bad := s.conds.find(kind); bad.Status != metav1.ConditionTrue {
			s.pending(bad.Reason, "%s", bad.Message)
			return
		}
	}
	views, ok := r.viewsOf(s)
	s.expose(views)
	switch {
	case s.rev.Spec.Key != nil && !revokedIn(s.ring, s.rev.Spec.Key.Kid):
		s.pending(keyturnv1alpha1.ReasonAwaitingTakeover, "%s", s.takeover())
	case ok && s.stored(views):
		s.judge(views)
	case !ok:
		s.pending(keyturnv1alpha1.ReasonProgressing, "TokenService %s has not put it into its document yet; if that stays: kubectl -n %s describe tsvc", s.serviceNames(), s.rev.Namespace)
	}
}

func (s *revocationStep) pending(reason, format string, args ...any) {
	if !s.rev.DeletionTimestamp.IsZero() {
		format, args = "%s; it is being deleted, and goes once it is enforced", []any{fmt.Sprintf(format, args...)}
	}
	s.conds.bad(keyturnv1alpha1.ConditionEnforced, reason, format, args...)
	s.conds.bad(keyturnv1alpha1.ConditionReady, reason, format, args...)
}

// inShort is what is revoked.
func inShort(rev *keyturnv1alpha1.Revocation) (kind keyturnv1alpha1.RevocationKind, what string) {
	switch spec := &rev.Spec; {
	case spec.Key != nil:
		return keyturnv1alpha1.RevocationKey, short(spec.Key.Kid)
	case spec.User != nil:
		return keyturnv1alpha1.RevocationUser, spec.User.Subject
	case spec.Session != nil:
		return keyturnv1alpha1.RevocationSession, spec.Session.ID
	case spec.All != nil:
		return keyturnv1alpha1.RevocationAll, spec.All.TokenServiceRef.Name
	}
	return "", ""
}

// viewsOf returns what was seen of each TokenService; false if one of them was not looked at since.
func (r *revocationReconciler) viewsOf(s *revocationStep) (views []*revocationView, ok bool) {
	ok = true
	for i := range s.services {
		view := r.revocations.of(s.services[i].UID)
		if view == nil {
			ok = false
			continue
		}
		uid := string(s.rev.UID)
		ok = ok && (view.listed[uid] || view.left[uid])
		views = append(views, view)
	}
	return views, ok
}

func (s *revocationStep) serviceNames() string {
	var names []string
	for i := range s.services {
		names = append(names, s.services[i].Name)
	}
	return strings.Join(names, ", ")
}

// takeover says what a key waits for that is in the ring yet.
func (s *revocationStep) takeover() string {
	kid := s.rev.Spec.Key.Kid
	waits := "the manager has not looked at the set since"
	if c := apimeta.FindStatusCondition(s.set.Status.Conditions, keyturnv1alpha1.ConditionRevocationPending); c != nil && c.Status == metav1.ConditionTrue {
		waits = c.Message
	}
	return fmt.Sprintf("kid %s is good until another key has taken over: %s", short(kid), waits)
}

// stored tells whether it is where the edges hear of it, and says why not.
func (s *revocationStep) stored(views []*revocationView) bool {
	if key := s.rev.Spec.Key; key != nil {
		for _, t := range s.ring.Tombstones {
			if t.KID == key.Kid && t.State == keys.Revoked {
				s.record(t.Time, views)
			}
		}
		if len(views) == 1 { // each store has numbers of its own
			s.rev.Status.Number = int64(views[0].number(string(s.rev.UID))) //nolint:gosec // seconds·2²⁰ has room for centuries
		}
		return true
	}
	view, uid := views[0], string(s.rev.UID)
	if number := view.number(uid); number != 0 && s.rev.Status.Number == 0 {
		s.rev.Status.Number = int64(number) //nolint:gosec // see above
	}
	if s.rev.Status.Number != 0 {
		s.record(s.now, views)
		return true
	}
	if view.left[uid] {
		s.pending(keyturnv1alpha1.ReasonSnapshotFull, "%d older revocations of TokenService %s are not enforced yet, and there is no room for more: look why; it has its turn as soon as one is", len(view.listed), s.services[0].Name)
		return false
	}
	s.pending(view.unstored())
	return false
}

// number is that of the entry in the session store, 0 while no token service says that it has it.
func (v *revocationView) number(uid string) (number uint64) {
	for i := range v.replicas {
		if status := v.replicas[i].status; v.replicas[i].signer && status != nil {
			number = max(number, status.Revoked[uid])
		}
	}
	return number
}

// unstored says why no token service has written an entry to the store.
func (v *revocationView) unstored() (reason, format, message string) {
	reason = keyturnv1alpha1.ReasonNoReplicas
	why := []string{"no token service runs"}
	for i := range v.replicas {
		rep := &v.replicas[i]
		if !rep.signer {
			continue
		}
		if reason == keyturnv1alpha1.ReasonNoReplicas {
			reason, why = keyturnv1alpha1.ReasonWaitingForReplicas, nil
		}
		switch {
		case rep.status == nil:
			reason = keyturnv1alpha1.ReasonReplicaUnreachable
			why = append(why, fmt.Sprintf("%s does not answer: %v", rep.pod.Name, rep.err))
		case !rep.revisionLoaded(v.revision):
			why = append(why, lagging(rep, v.revision))
		case !rep.status.StoreReachable:
			reason = keyturnv1alpha1.ReasonStoreUnavailable
			why = append(why, fmt.Sprintf("%s cannot write its store, and tries again: %s", rep.pod.Name, inTheSpec(rep.status.StoreReason)))
		default:
			why = append(why, rep.pod.Name+" has not written it to its store yet; if that stays, its log says why")
		}
	}
	return reason, "%s", named(why)
}

// named joins the first of several sentences.
func named(all []string) string {
	text := strings.Join(all[:min(len(all), maxWaiting)], "; ")
	if more := len(all) - maxWaiting; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// judge asks of every edge whether it refuses what is revoked.
func (s *revocationStep) judge(views []*revocationView) {
	status := &s.rev.Status
	total, reason := 0, keyturnv1alpha1.ReasonWaitingForReplicas
	var waiting, why []string
	for _, view := range views {
		number := uint64(status.Number) //nolint:gosec // it came from one
		if s.rev.Spec.Key != nil {
			number = view.number(string(s.rev.UID))
		}
		for i := range view.replicas {
			edge := &view.replicas[i]
			if edge.signer {
				continue
			}
			total++
			objection := s.objection(edge, number)
			if objection == "" {
				continue
			}
			if edge.status == nil {
				reason = keyturnv1alpha1.ReasonReplicaUnreachable
			}
			waiting, why = append(waiting, edge.pod.Name), append(why, objection)
		}
	}
	status.Exposure.Replicas = fmt.Sprintf("%d/%d", total-len(waiting), total)
	status.Exposure.WaitingFor = waiting[:min(len(waiting), maxWaiting)]
	switch {
	case len(waiting) > 0:
		s.pending(reason, "%s", named(why))
	case total == 0 && len(views) > 0:
		s.pending(keyturnv1alpha1.ReasonNoReplicas, "no edge of TokenService %s runs: none accepts it, and one that starts must confirm", s.serviceNames())
	default:
		status.EnforcedTime = seconds(s.now)
		for _, kind := range []string{keyturnv1alpha1.ConditionEnforced, keyturnv1alpha1.ConditionReady} {
			s.conds.good(kind, keyturnv1alpha1.ReasonEnforced, "all %d edges refuse it%s", total, s.untouched(views))
		}
	}
}

// objection says why an edge is not known to refuse what is revoked; empty: it does.
func (s *revocationStep) objection(edge *replica, number uint64) string {
	name, said := edge.pod.Name, edge.status
	if said == nil {
		return fmt.Sprintf("%s does not answer: %v", name, edge.err)
	}
	if key := s.rev.Spec.Key; key != nil && said.Epoch > 0 && !slices.Contains(said.KIDs, key.Kid) {
		return "" // it does not have the key any more
	}
	if number == 0 {
		return fmt.Sprintf("%s accepts it at epoch %d", name, said.Epoch)
	}
	return notApplied(name, said.Revocations, number)
}

// notApplied says why an edge's list is not known to have the entry of that number.
func notApplied(name string, list *snapshot.RevocationStatus, number uint64) string {
	switch {
	case list == nil || !list.Loaded:
		return name + " has not loaded the list of revocations, and refuses everything until it has"
	case list.Applied < number:
		return fmt.Sprintf("%s has applied number %d, wants %d", name, list.Applied, number)
	case list.Stale:
		return name + " hears nothing from the token service: its list may be old"
	}
	return ""
}
