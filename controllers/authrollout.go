package controllers

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// authRolloutReconciler walks the users of legacy sessions over, step by step. The status is the one commit point: a step
// is taken by the write of the status, which fails if anybody wrote the object meanwhile. The TokenService's controller makes
// documents of what the status says, and never of a decision that was not written.
type authRolloutReconciler struct {
	*base
	tallies tallies
	census  CensusReader
	asked   censusTimes
	waits   waits
}

// Reconcile implements [reconcile.Reconciler].
func (r *authRolloutReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var aro keyturnv1alpha1.AuthRollout
	if err := r.client.Get(ctx, request.NamespacedName, &aro); err != nil {
		if apierrors.IsNotFound(err) {
			processMetrics().rollouts.forget(request.NamespacedName)
			r.waits.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	siblings, err := r.rolloutsOf(ctx, aro.Namespace, aro.Spec.TokenServiceRef.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	service, err := r.serviceOf(ctx, &aro)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !aro.DeletionTimestamp.IsZero() && r.mayGo(&aro, service, siblings) {
		return r.outcome(r.letGo(ctx, &aro, service, siblings), 0)
	}
	if aro.DeletionTimestamp.IsZero() && controllerutil.AddFinalizer(&aro, keyturnv1alpha1.FinalizerInUse) {
		if err := r.client.Update(ctx, &aro, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
			return r.outcome(err, 0)
		}
	}
	before := aro.Status.DeepCopy()
	conds := conditions{&aro.Status.Conditions, aro.Generation}
	step := &rolloutStep{aro: &aro, service: service, conds: conds, now: r.now().Truncate(time.Second)}
	after, err := r.reconcile(ctx, step, siblings)
	sumUpRollout(conds, err, step.deleting())
	aro.Status.ObservedGeneration = aro.Generation
	processMetrics().rollouts.observe(&aro)
	if !equality.Semantic.DeepEqual(before, &aro.Status) {
		if updateErr := r.client.Status().Update(ctx, &aro, client.FieldOwner(keyturnv1alpha1.ManagerName)); updateErr != nil {
			return r.outcome(updateErr, 0)
		}
		r.announceStep(step, before)
	}
	if step.next != nil { // only now: an interval that could not be written is counted again
		r.tallies.put(aro.UID, step.next)
	}
	return r.outcome(err, after)
}

// rolloutStep is one step of a rollout: what it is decided from, and what came out.
type rolloutStep struct {
	aro     *keyturnv1alpha1.AuthRollout
	service *keyturnv1alpha1.TokenService
	conds   conditions
	now     time.Time
	// seen is what the replicas say; next the tally to go on with once the status is written, nil for the one there is.
	seen counted
	next *tally
	// refused says why a command cannot be carried out; empty if there is none, or it was.
	refused string
	// commanded is the command that was carried out just now.
	commanded rollout.Command
	decision  rollout.Decision
	sunset    rollout.Reason // why it waits
	ended     bool           // the sessions ended just now
	recovered string         // what a lost status was recovered to, just now
	blind     string         // why nobody can tell what a legacy session is worth; empty: somebody can
}

func (s *rolloutStep) deleting() bool { return !s.aro.DeletionTimestamp.IsZero() }

// reconcile observes, decides and reports, and returns when to look again. It writes nothing.
func (r *authRolloutReconciler) reconcile(ctx context.Context, s *rolloutStep, siblings []keyturnv1alpha1.AuthRollout) (time.Duration, error) {
	if len(siblings) > 0 && siblings[0].UID != s.aro.UID {
		return 0, stop(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonConflicted,
			"AuthRollout %s is older and has TokenService %s: delete one of the two", siblings[0].Name, s.aro.Spec.TokenServiceRef.Name)
	}
	s.conds.good(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonAccepted, "the rollout is valid and the only one of TokenService %s", s.aro.Spec.TokenServiceRef.Name)
	if s.service == nil {
		return 0, stop(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonTokenServiceNotFound,
			"there is no TokenService %q in namespace %s: create it, or delete this and create one that names another", s.aro.Spec.TokenServiceRef.Name, s.aro.Namespace)
	}
	if source := strangePrefix(s.aro, s.service); source != "" {
		return 0, stop(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonInvalidSpec,
			"legacy.subjectPrefix %q and that of identity %q of TokenService %s begin alike, so a session could be taken for a user of that source: "+
				"give it the prefix of the source that logs the same users in, or one that begins as no other does", s.aro.Spec.Legacy.SubjectPrefix, source, s.service.Name)
	}
	unresolved := r.checkSecrets(ctx, s.aro.Namespace, legacySecrets(s.aro))
	if problem, ok := asStopped(unresolved); ok {
		s.conds.bad(problem.condition, problem.reason, "%s", problem.message)
		s.blind = problem.message
	} else if unresolved != nil {
		return 0, unresolved
	} else {
		s.conds.good(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonResolved, "TokenService %s and every Secret that is named exist", s.service.Name)
	}
	if err := r.recoverStatus(ctx, s); err != nil {
		return pollWaiting, err
	}
	replicas, err := r.replicasOf(ctx, silencePauseMax, s.service)
	if err != nil {
		return 0, err
	}
	r.observeCensus(ctx, s, replicas)
	s.seen = r.tallies.count(s.aro, replicas, s.now)
	if unresolved != nil && !s.seen.ended { // nobody can tell whose a session is: what was counted tells nothing
		s.seen.sample, s.seen.missing = nil, true
	}
	s.decide()
	reportRollout(s)
	if err := r.ensureReport(ctx, s); err != nil {
		return 0, err
	}
	after := r.steady
	if unresolved != nil {
		after = min(after, pollReference)
	}
	return min(after, s.pause(r.waiting(s))), nil
}

// waiting is how soon to look again for the replicas that lag; 0 if none does.
func (r *authRolloutReconciler) waiting(s *rolloutStep) time.Duration {
	name := client.ObjectKeyFromObject(s.aro)
	if len(s.seen.lagging) == 0 {
		r.waits.forget(name)
		return 0
	}
	return r.waits.pause(name, s.decision.State.Since.UnixNano(), s.seen.behind, s.now)
}

// decide asks the planner and takes over what it says.
func (s *rolloutStep) decide() {
	status, policy := &s.aro.Status, rolloutPolicy(&s.aro.Spec)
	status.RefusedCommand = ""
	state := rolloutState(status)
	if !status.SunsetReachedTime.IsZero() {
		s.afterSunset(state)
		return
	}
	observed := rollout.Observed{Sample: s.seen.sample, Missing: s.seen.missing}
	observed.Command, s.refused = commandOf(s.aro, state)
	if s.refused != "" {
		s.refuse(observed.Command.ID)
		observed.Command = rollout.Command{}
	}
	if observed.Command.ID != "" && observed.Command.ID != state.Command {
		s.commanded = observed.Command
	}
	s.decision = rollout.Next(s.now, policy, state, observed)
	status.State = stateStatus(s.decision.State)
	if s.decision.Change != rollout.Unchanged {
		s.record(string(s.decision.Change), state.Percent, s.decision.State.Percent, s.by(), s.why(policy))
	}
	if s.seen.sample != nil {
		status.Guard.SampledTime = seconds(s.now)
		countUsage(&status.Census, s.now, s.seen.sessions, s.seen.tokens)
		s.next = s.seen.tally
	}
	s.ended, s.sunset = rolloutEnding(&s.aro.Spec).Reached(s.now, censusOf(status.Census))
	if policy.Paused && s.ended {
		s.ended, s.sunset = false, rollout.Paused
	}
	if s.ended {
		status.SunsetReachedTime = seconds(s.now)
		s.record(keyturnv1alpha1.ReasonSunsetReached, s.decision.State.Percent, s.decision.State.Percent, "Schedule", "its time has come")
	}
}

// afterSunset: nothing moves any more, and commands are refused.
func (s *rolloutStep) afterSunset(state rollout.State) {
	command, refused := commandOf(s.aro, state)
	if command.ID != "" && command.ID != state.Command {
		if s.refused = refused; refused == "" {
			s.refused = "the sessions have ended, there is nothing to steer"
		}
		s.refuse(command.ID)
	}
	s.decision = rollout.Decision{State: state, Waiting: rollout.Complete}
}

// refuse shows why a command is not carried out. It is not remembered in the state: the last one that was stays the last.
func (s *rolloutStep) refuse(id string) { s.aro.Status.RefusedCommand = clip(id+": "+s.refused, 512) }

// maxHistory bounds the history of changes.
const maxHistory = 32

func (s *rolloutStep) record(change string, from, to int, by, why string) {
	s.aro.Status.History = slices.Insert(s.aro.Status.History, 0, keyturnv1alpha1.RolloutChange{
		Time: seconds(s.now), Change: change, From: int32(from), To: int32(to), By: by, Why: clip(why, 256), //nolint:gosec // at most 100
	})
	s.aro.Status.History = s.aro.Status.History[:min(len(s.aro.Status.History), maxHistory)]
}

// pause is when time or counters may change the answer, or replicas that lag, for which waiting is set.
func (s *rolloutStep) pause(waiting time.Duration) time.Duration {
	after := 24 * time.Hour
	sooner := func(d time.Duration) {
		if d > 0 {
			after = min(after, d)
		}
	}
	sooner(s.decision.After)
	sooner(s.seen.due)
	sooner(waiting)
	schedule := rolloutSchedule(s.aro)
	for _, at := range []time.Time{schedule.Deprecation, schedule.Sunset} {
		sooner(at.Sub(s.now))
	}
	if !s.seen.ended && s.seen.due == 0 && s.next == nil {
		sooner(max(time.Second, waiting)) // no interval has begun yet
	}
	return after
}

// serviceOf is the TokenService of a rollout, nil if there is none or it is being deleted.
func (r *authRolloutReconciler) serviceOf(ctx context.Context, aro *keyturnv1alpha1.AuthRollout) (*keyturnv1alpha1.TokenService, error) {
	var tsvc keyturnv1alpha1.TokenService
	err := r.client.Get(ctx, types.NamespacedName{Namespace: aro.Namespace, Name: aro.Spec.TokenServiceRef.Name}, &tsvc)
	if apierrors.IsNotFound(err) || err == nil && !tsvc.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return &tsvc, err
}

// mayGo tells whether the deletion of a rollout logs nobody out: its sessions have ended, another rollout takes over or has
// been in force all the time, or there is no service. Or somebody said that it may.
func (r *authRolloutReconciler) mayGo(aro *keyturnv1alpha1.AuthRollout, service *keyturnv1alpha1.TokenService, siblings []keyturnv1alpha1.AuthRollout) bool {
	return service == nil || !aro.Status.SunsetReachedTime.IsZero() || len(others(aro, siblings)) > 0 ||
		aro.Annotations[keyturnv1alpha1.AnnotationEndSessions] == "true"
}

// others are the rollouts of the same service that stay.
func others(aro *keyturnv1alpha1.AuthRollout, siblings []keyturnv1alpha1.AuthRollout) []keyturnv1alpha1.AuthRollout {
	return slices.DeleteFunc(slices.Clone(siblings), func(s keyturnv1alpha1.AuthRollout) bool {
		return s.UID == aro.UID || !s.DeletionTimestamp.IsZero()
	})
}

// letGo takes the finalizer away. Where sessions were accepted until now, that is an Event.
func (r *authRolloutReconciler) letGo(ctx context.Context, aro *keyturnv1alpha1.AuthRollout, service *keyturnv1alpha1.TokenService, siblings []keyturnv1alpha1.AuthRollout) error {
	if !controllerutil.RemoveFinalizer(aro, keyturnv1alpha1.FinalizerInUse) {
		return nil
	}
	if err := r.client.Update(ctx, aro, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
		return client.IgnoreNotFound(err)
	}
	if service != nil && aro.Status.SunsetReachedTime.IsZero() && len(others(aro, siblings)) == 0 {
		r.recorder.Eventf(service, aro, corev1.EventTypeWarning, keyturnv1alpha1.ReasonSessionsEnded, "Delete",
			"AuthRollout %s was deleted before its sunset: legacy sessions are refused from now on, who has one must log in again", aro.Name)
	}
	return nil
}
