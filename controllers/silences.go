package controllers

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How long a pod that let its time go by is left alone: at first, at most, and at most while something that was revoked is not
// enforced for long. While a revocation is young, or a key is being left, everybody is asked always.
const (
	silencePause    = time.Second
	silencePauseMax = 30 * time.Second
	silenceRevoking = 5 * time.Second
	askEverybody    = time.Duration(0)
)

// silences remembers which pods accept a connection, or do not even that, and never answer: each costs a worker statusTimeout
// whenever it is asked, and there are few workers for many sets. So such a pod is asked less and less often. It confirms nothing
// meanwhile. It is forgotten when it answers, when its pod is gone, has become Ready or ceased to be, or has got another
// address. The zero value is ready; it is safe for concurrent use.
type silences struct {
	mu sync.Mutex
	of map[types.UID]silence
}

// silence is what is known of one pod.
type silence struct {
	service types.NamespacedName
	seen    podState
	// failures is how often it was silent in its turn, at when that was last, err what came of it. last is when it was asked,
	// in its turn or not.
	failures int
	at, last time.Time
	err      error
}

// podState is what changes when a pod comes back.
type podState struct {
	address string
	ready   corev1.ConditionStatus
	since   time.Time
}

func stateOf(pod *corev1.Pod) podState {
	state := podState{address: pod.Status.PodIP}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			state.ready, state.since = c.Status, c.LastTransitionTime.UTC()
		}
	}
	return state
}

// pause is min(silencePause·2^(failures−1), silencePauseMax, most).
func (s *silence) pause(most time.Duration) time.Duration {
	return min(silencePause<<min(max(s.failures-1, 0), 5), silencePauseMax, most)
}

// turn is whether and how a pod is asked now.
type turn struct {
	// timeout is how long to wait for the answer; 0: the pod is not asked.
	timeout time.Duration
	// failures is how often it was silent before, known what came of it last.
	failures int
	known    error
}

func (t turn) spared() bool { return t.timeout == 0 }

// turn decides it. A silent pod whose turn it is not, and that is asked all the same, gets a moment only: who has come back
// answers at once.
func (s *silences) turn(pod *corev1.Pod, now time.Time, most time.Duration) turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, is := s.of[pod.UID]
	if !is || known.seen != stateOf(pod) {
		delete(s.of, pod.UID)
		return turn{timeout: statusTimeout}
	}
	out := turn{failures: known.failures, known: known.err}
	switch {
	case passed(known.at, now, known.pause(silencePauseMax)):
		out.timeout, known.at, known.last = statusTimeout, now, now // others that look meanwhile need not wait for it too
	case passed(known.last, now, known.pause(most)):
		out.timeout, known.last = statusGlance, now
	}
	s.of[pod.UID] = known
	return out
}

// passed tells whether that time is over, by a clock that may have been set back.
func passed(since, now time.Time, d time.Duration) bool {
	return now.Before(since) || now.Sub(since) >= d
}

// silent notes that a pod let its time go by, and returns what is said about it: always the same, so that it is not written
// again and again.
func (s *silences) silent(service types.NamespacedName, pod *corev1.Pod, t turn, now time.Time, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[types.UID]silence{}
	}
	if t.timeout < statusTimeout {
		return t.known // it was hardly given a chance
	}
	s.of[pod.UID] = silence{service: service, seen: stateOf(pod), failures: t.failures + 1, at: now, last: now, err: err}
	return err
}

// heard forgets a pod that answers.
func (s *silences) heard(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, pod)
}

// keep forgets the pods of a TokenService that are not among its replicas any more.
func (s *silences) keep(service types.NamespacedName, replicas []replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.of) == 0 {
		return
	}
	there := map[types.UID]bool{}
	for i := range replicas {
		there[replicas[i].pod.UID] = true
	}
	for uid, known := range s.of {
		if known.service == service && !there[uid] {
			delete(s.of, uid)
		}
	}
}
