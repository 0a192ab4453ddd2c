package controllers

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

const rolloutName = "web"

// newRollout is a plan of 10, 50 and 100 %, an hour each.
func (w *world) newRollout() *keyturnv1alpha1.AuthRollout {
	step := func(percent int32) keyturnv1alpha1.RolloutStep {
		return keyturnv1alpha1.RolloutStep{Percent: percent, Bake: &metav1.Duration{Duration: 10 * time.Minute}}
	}
	return &keyturnv1alpha1.AuthRollout{ObjectMeta: w.meta(rolloutName), Spec: keyturnv1alpha1.AuthRolloutSpec{
		TokenServiceRef: keyturnv1alpha1.TokenServiceReference{Name: serviceName},
		Legacy: keyturnv1alpha1.LegacySpec{
			CookieName: "connect.sid",
			Validator:  keyturnv1alpha1.LegacyValidator{HTTP: &keyturnv1alpha1.LegacyWebhook{URL: "https://shop.example.com/session"}},
		},
		Bucketing: keyturnv1alpha1.BucketingSpec{Salt: "web-2026"},
		Steps:     []keyturnv1alpha1.RolloutStep{step(10), step(50), step(100)},
	}}
}

// moving is a settled world with a rollout that every replica has.
func moving(w *world, change ...func(*keyturnv1alpha1.AuthRollout)) {
	w.Helper()
	w.declare()
	w.eventually("settle", w.unhealthy)
	aro := w.newRollout()
	for _, c := range change {
		c(aro)
	}
	w.create(aro)
	w.rolledTo(0)
}

func (w *world) rollout() *keyturnv1alpha1.AuthRollout {
	w.Helper()
	var aro keyturnv1alpha1.AuthRollout
	w.get(&aro, rolloutName)
	return &aro
}

// rolledTo waits until every replica works with a percentage.
func (w *world) rolledTo(percent int32) {
	w.Helper()
	w.eventually(fmt.Sprintf("%d %% is in force", percent), func() string {
		aro := w.rollout()
		conds := conditions{&aro.Status.Conditions, 0}
		if aro.Status.Percent == nil || *aro.Status.Percent != percent {
			return w.saying()
		}
		if found := conds.find(keyturnv1alpha1.ConditionInForce); found == nil || found.Status != metav1.ConditionTrue {
			return w.saying()
		}
		return ""
	})
}

// saying is what the rollout says about itself.
func (w *world) saying() string {
	status := w.rollout().Status
	out := fmt.Sprintf("%s, step %s, guard %+v, next %q, sunset %q, replicas %s\n", status.Stage, status.Step, status.Guard, status.Next, status.Sunset, status.Replicas)
	for _, c := range status.Conditions {
		out += fmt.Sprintf("  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return out
}

// traffic is what the users of a minute meet, at each replica.
type traffic struct {
	cohort, control, endpoints snapshot.EventCounts
	slow, logins               snapshot.EventSides
	sessions, tokens           uint64
}

// calm is a minute without an incident, with a share of sessions.
func calm(sessions uint64) traffic {
	return traffic{
		cohort: snapshot.EventCounts{Events: 400, Failures: 1}, control: snapshot.EventCounts{Events: 400, Failures: 1},
		endpoints: snapshot.EventCounts{Events: 50}, sessions: sessions, tokens: 1000 - sessions,
	}
}

// incident is one that meets the cohort, the others, or both.
func incident(cohort, control uint64) traffic {
	t := calm(500)
	t.cohort.Failures, t.control.Failures = cohort, control
	return t
}

// serve counts a minute of traffic at every replica.
func (f *fleet) serve(t traffic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	add := func(to *snapshot.EventCounts, more snapshot.EventCounts) {
		to.Events += more.Events
		to.Failures += more.Failures
	}
	for _, r := range f.replicas {
		add(&r.counts.Cohort, t.cohort)
		if r.rollout == nil || r.rollout.Percent < 100 { // at 100 % there are no others
			add(&r.counts.Control, t.control)
		}
		add(&r.counts.Endpoints, t.endpoints)
		for _, x := range []struct{ to, more *snapshot.EventSides }{{&r.counts.Slow, &t.slow}, {&r.counts.Logins, &t.logins}} {
			add(&x.to.Cohort, x.more.Cohort)
			add(&x.to.Control, x.more.Control)
		}
		r.counts.Sessions += t.sessions
		r.counts.Tokens += t.tokens
	}
}

// restart makes every replica count anew.
func (f *fleet) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.replicas {
		r.counts = snapshot.RolloutCounts{Started: f.w.clock.Now()}
	}
}

// poke makes the controllers look at once.
func (w *world) poke() {
	w.Helper()
	edit(w, w.newRollout(), func(aro *keyturnv1alpha1.AuthRollout) {
		metav1.SetMetaDataAnnotation(&aro.ObjectMeta, "example.com/poke", fmt.Sprint(time.Now().UnixNano()))
	})
}

// minute lets a minute of traffic pass and waits until the guard has counted it.
func (w *world) minute(t traffic) {
	w.Helper()
	w.minuteAfter(0, t)
}

// minuteAfter lets a while pass in which nothing happens, and then a minute of traffic. The clock takes it in one step: were it
// looked at in between, a step that is due could be taken by an interval that ended there, and the next one would begin too late to
// be over here.
func (w *world) minuteAfter(idle time.Duration, t traffic) {
	w.Helper()
	w.fleet.serve(t)
	w.clock.step(idle + time.Minute)
	now := w.clock.Now()
	w.poke()
	w.eventually("the interval is counted", func() string {
		if sampled := w.rollout().Status.Guard.SampledTime; sampled.Time.Before(now) {
			return fmt.Sprintf("sampled at %s, it is %s: %s", sampled, now, w.saying())
		}
		return ""
	})
}

// command gives a command by the annotation and waits until it is acknowledged.
func (w *world) command(action string) {
	w.Helper()
	w.clock.step(time.Second)
	id := w.clock.Now().UTC().Format(time.RFC3339)
	edit(w, w.newRollout(), func(aro *keyturnv1alpha1.AuthRollout) {
		metav1.SetMetaDataAnnotation(&aro.ObjectMeta, keyturnv1alpha1.AnnotationRolloutCommand, id+" "+action)
	})
	w.eventually("the command "+action+" is acknowledged", func() string {
		status := w.rollout().Status
		if (status.State == nil || status.State.Command != id) && !strings.HasPrefix(status.RefusedCommand, id+": ") {
			return w.saying()
		}
		return ""
	})
}

// history is every change of the percentage, the oldest first.
func (w *world) history(want ...string) {
	w.Helper()
	var got []string
	for _, h := range w.rollout().Status.History {
		got = append([]string{fmt.Sprintf("%s %d->%d", h.Change, h.From, h.To)}, got...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("history (-want +got):\n%s", diff)
	}
}

// carried checks that both documents carry the percentage.
func (w *world) carried(percent int) {
	w.Helper()
	edge, err := w.edgeDocument()
	if err != nil {
		w.Fatal(err)
	}
	issuer, err := w.issuerDocument()
	if err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(edge.Rollout, issuer.Rollout); diff != "" || edge.Rollout == nil || edge.Rollout.Percent != percent {
		w.Errorf("the documents carry %+v, want %d %%; (-edge +issuer):\n%s", edge.Rollout, percent, diff)
	}
	w.eventually("the TokenService shows it", func() string {
		if got := w.service().Status.Rollout; got != fmt.Sprintf("%d%%", percent) {
			return got
		}
		return ""
	})
	if issuer.Legacy == nil {
		w.Error("the token service does not know who validates sessions")
	}
}

// sees waits for a condition of the rollout.
func (w *world) sees(kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	w.Helper()
	var found *metav1.Condition
	w.eventually(fmt.Sprintf("%s is %s %s", kind, status, reason), func() string {
		aro := w.rollout()
		found = conditions{&aro.Status.Conditions, 0}.find(kind)
		if found == nil || found.Status != status || found.Reason != reason {
			return w.saying()
		}
		return ""
	})
	return found
}
