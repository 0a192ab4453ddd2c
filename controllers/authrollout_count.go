package controllers

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// tally is what the replicas had counted at one moment, when all of them worked with the same percentage. An interval of the
// guard is the difference of two.
type tally struct {
	at               time.Time
	since            time.Time // when the percentage came into force
	percent, watched int
	replicas         map[types.UID]snapshot.RolloutCounts
}

// tallies remembers where the interval of each rollout began. It is memory only: a manager that starts begins a new
// interval, and what was counted meanwhile is lost, which holds a rollout for a minute and never promotes it. The time at
// which an interval ended is in the status, so that two managers never count one twice. The zero value is ready; it is safe
// for concurrent use.
type tallies struct {
	mu sync.Mutex
	of map[types.UID]*tally
}

func (t *tallies) get(rollout types.UID) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[rollout]
}

func (t *tallies) put(rollout types.UID, next *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[types.UID]*tally{}
	}
	t.of[rollout] = next
}

// counted is what the replicas say at this moment.
type counted struct {
	// total are the replicas that serve, loaded those of them that work with the percentage of the status. lagging says why
	// the others do not, behind names them.
	total, loaded   int
	lagging, behind []string
	unreachable     bool
	// sample is a whole interval, nil while it is not over; tally is where the next one begins. missing is that an interval
	// is over that could not be counted.
	sample  *rollout.Sample
	missing bool
	tally   *tally
	// sessions and tokens are the requests of the interval by credential.
	sessions, tokens uint64
	// due is when the interval is over.
	due time.Duration
	// ended: there is nothing to count any more.
	ended bool
}

// count compares what the replicas have counted with what they had at the beginning of the interval.
func (t *tallies) count(aro *keyturnv1alpha1.AuthRollout, replicas []replica, now time.Time) counted {
	if !aro.Status.SunsetReachedTime.IsZero() {
		return counted{ended: true}
	}
	state := rolloutState(&aro.Status)
	current := &tally{at: now, since: state.Since, percent: state.Percent, watched: watched(aro), replicas: map[types.UID]snapshot.RolloutCounts{}}
	out := counted{}
	for i := range replicas {
		out.look(&replicas[i], current)
	}
	complete := out.total > 0 && out.loaded == out.total
	interval := aro.Spec.Guard.Interval.Duration
	sampled := aro.Status.Guard.SampledTime.Time
	begun := t.get(aro.UID)
	if begun == nil || !begun.same(current) || sampled.After(begun.at) || now.Before(begun.at) {
		if complete {
			t.put(aro.UID, current)
			out.due = interval
			return out
		}
		since := state.Since
		if sampled.After(since) {
			since = sampled
		}
		out.missing = out.total > 0 && !since.IsZero() && now.Sub(since) >= interval
		return out
	}
	if passed := now.Sub(begun.at); passed < interval {
		out.due = interval - passed
		return out
	}
	if !complete {
		out.missing = true // the interval goes on until everybody answers
		return out
	}
	sample, sessions, tokens := begun.until(current)
	if sample == (rollout.Sample{}) && sessions+tokens == 0 && !state.Blind {
		out.due = interval // nothing happened: no need to write it down
		return out
	}
	out.sample, out.sessions, out.tokens, out.tally, out.due = &sample, sessions, tokens, current, interval
	return out
}

// same tells whether two were taken at one and the same step.
func (t *tally) same(other *tally) bool {
	return t.since.Equal(other.since) && t.percent == other.percent && t.watched == other.watched
}

// look takes up what one replica says. One without a document serves nobody, and one that is going and does not answer any
// more neither.
func (c *counted) look(r *replica, into *tally) {
	switch {
	case r.status == nil && !r.pod.DeletionTimestamp.IsZero(), r.status != nil && r.status.Revision == 0:
		return
	case r.status == nil:
		c.unreachable = true
		c.lags(r, "%s does not answer: %v", r.pod.Name, r.err)
	case r.status.Rollout == nil:
		c.lags(r, "%s does not know of the rollout yet", r.pod.Name)
	case r.status.Rollout.Percent != into.percent:
		c.lags(r, "%s has %d%%, wants %d%%", r.pod.Name, r.status.Rollout.Percent, into.percent)
	default:
		c.total, c.loaded = c.total+1, c.loaded+1
		into.replicas[r.pod.UID] = *r.status.Rollout
	}
}

func (c *counted) lags(r *replica, format string, args ...any) {
	c.total++
	c.lagging, c.behind = append(c.lagging, fmt.Sprintf(format, args...)), append(c.behind, r.pod.Name)
}

// until is what was counted from t to now. A replica that restarted has counted since its start; of one that is new and
// older than the interval nobody knows what it had counted before.
func (t *tally) until(now *tally) (sample rollout.Sample, sessions, tokens uint64) {
	for pod, counts := range now.replicas {
		before, known := t.replicas[pod]
		switch {
		case known && before.Started.Equal(counts.Started):
		case !counts.Started.Before(t.at):
			before = snapshot.RolloutCounts{}
		default:
			continue
		}
		if fell(before, counts) {
			continue // it makes no sense: tell nothing by it
		}
		sample = sample.Plus(rollout.Sample{
			Cohort:    difference(before.Cohort, counts.Cohort),
			Control:   difference(before.Control, counts.Control),
			Endpoints: difference(before.Endpoints, counts.Endpoints),
			Slow:      differences(before.Slow, counts.Slow),
			Logins:    differences(before.Logins, counts.Logins),
		})
		sessions += counts.Sessions - before.Sessions
		tokens += counts.Tokens - before.Tokens
	}
	return sample, sessions, tokens
}

// difference has never more failures than events: a replica counts the two one after the other, and a status may be read in
// between.
func difference(before, now snapshot.EventCounts) rollout.Counts {
	events := now.Events - before.Events
	return rollout.Counts{Events: events, Failures: min(now.Failures-before.Failures, events)}
}

func differences(before, now snapshot.EventSides) rollout.Sides {
	return rollout.Sides{Cohort: difference(before.Cohort, now.Cohort), Control: difference(before.Control, now.Control)}
}

// fell tells whether a counter went back.
func fell(before, now snapshot.RolloutCounts) bool {
	back := func(b, n snapshot.EventCounts) bool { return n.Events < b.Events || n.Failures < b.Failures }
	sides := func(b, n snapshot.EventSides) bool { return back(b.Cohort, n.Cohort) || back(b.Control, n.Control) }
	return sides(before.Slow, now.Slow) || sides(before.Logins, now.Logins) ||
		back(before.Cohort, now.Cohort) || back(before.Control, now.Control) || back(before.Endpoints, now.Endpoints) ||
		now.Sessions < before.Sessions || now.Tokens < before.Tokens
}
