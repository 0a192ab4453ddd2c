package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// gathering answers for pods, or lets them be silent.
type gathering struct {
	mu    sync.Mutex
	mute  map[string]bool
	asked map[string]int
	slow  time.Duration // how long an answer takes
}

func (c *gathering) Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	c.mu.Lock()
	if c.asked == nil {
		c.asked = map[string]int{}
	}
	c.asked[pod.Name]++
	mute, slow := c.mute[pod.Name], c.slow
	c.mu.Unlock()
	if mute {
		<-ctx.Done()
		return nil, withoutAddress(ctx.Err())
	}
	select {
	case <-time.After(slow):
		return &snapshot.Status{Instance: pod.Name, Revision: 7}, nil
	case <-ctx.Done():
		return nil, withoutAddress(ctx.Err())
	}
}

func (c *gathering) silence(mute bool, pods ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mute == nil {
		c.mute = map[string]bool{}
	}
	for _, pod := range pods {
		c.mute[pod] = mute
	}
}

// service is a TokenService with so many replicas, which are asked as a reconcile does it.
type service struct {
	b    *base
	pods []*corev1.Pod
}

var theService = types.NamespacedName{Namespace: "shop", Name: "web"}

func newService(reader StatusReader, replicas int) *service {
	s := &service{b: &base{status: reader, now: time.Now}}
	for i := range replicas {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%03d", i), UID: types.UID(fmt.Sprint(i))}}
		pod.Status.PodIP = "10.1.2.3"
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		s.pods = append(s.pods, pod)
	}
	return s
}

func (s *service) names() (all []string) {
	for _, pod := range s.pods {
		all = append(all, pod.Name)
	}
	return all
}

// ask asks all, and tells who answered and how long it took.
func (s *service) ask(most time.Duration) (answered []string, all []replica, took time.Duration) {
	began := time.Now()
	all = make([]replica, len(s.pods))
	asks := make([]inquiry, len(s.pods))
	for i := range s.pods {
		all[i].pod = s.pods[i]
		asks[i] = inquiry{of: &all[i], service: theService, keySet: "shop/main"}
	}
	s.b.silences.keep(theService, all)
	s.b.askAll(context.Background(), asks, most)
	for i := range all {
		if all[i].status != nil {
			answered = append(answered, all[i].pod.Name)
		}
	}
	return answered, all, time.Since(began)
}

// TestSilentReplicasCostOneTimeout: those that never answer are waited for once, all at the same time, and then left alone. What
// they said before confirms nothing meanwhile.
func TestSilentReplicasCostOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		people := &gathering{slow: 10 * time.Millisecond}
		s := newService(people, 50)
		if answered, _, took := s.ask(silencePauseMax); len(answered) != 50 || took > 20*time.Millisecond {
			t.Fatalf("%d answered in %s", len(answered), took)
		}
		people.silence(true, s.names()[:40]...)
		answered, all, took := s.ask(silencePauseMax)
		if !slices.Equal(answered, s.names()[40:]) || took != statusTimeout {
			t.Errorf("answered %v in %s, want the last ten in %s", answered, took, statusTimeout)
		}
		said := all[0].err.Error()
		answered, all, took = s.ask(silencePauseMax)
		if len(answered) != 10 || took > 20*time.Millisecond {
			t.Errorf("%d answered in %s: the silent ones were waited for again", len(answered), took)
		}
		for i, r := range all[:40] {
			if r.status != nil || r.revisionLoaded(1) || keysReplicas(all)[i].Reachable || !r.spared || r.err == nil || r.err.Error() != said {
				t.Fatalf("%s confirms something, or says something else than before: %+v", r.pod.Name, r)
			}
		}
		if all[40].spared {
			t.Error("one that answers is taken for one that was not asked")
		}
	})
}

// TestSilentReplicaInAMinute counts how often a silent replica is asked while a reconcile looks again and again.
func TestSilentReplicaInAMinute(t *testing.T) {
	for _, row := range []struct {
		name             string
		most             time.Duration
		fewest, frequent int
	}{
		{"calm", silencePauseMax, 5, 7},
		{"old revocation", silenceRevoking, 11, 18},  // and every five seconds for a moment
		{"young revocation", askEverybody, 100, 300}, // at every look
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				people := &gathering{}
				s := newService(people, 3)
				people.silence(true, s.pods[0].Name)
				looks := 0
				for began := time.Now(); time.Since(began) < time.Minute; looks++ {
					if answered, _, took := s.ask(row.most); len(answered) != 2 || took > statusTimeout {
						t.Fatalf("%d answered in %s", len(answered), took)
					}
					<-time.After(pollRevocation)
				}
				if got := people.asked[s.pods[0].Name]; got < row.fewest || got > row.frequent {
					t.Errorf("the silent one was asked %d times in %d looks of a minute, want %d to %d", got, looks, row.fewest, row.frequent)
				}
				if got := people.asked[s.pods[0].Name]; row.most == askEverybody && got != looks {
					t.Errorf("in an emergency the silent one was asked %d times in %d looks", got, looks)
				}
				if got := people.asked[s.pods[1].Name]; got != looks {
					t.Errorf("one that answers was asked %d times in %d looks", got, looks)
				}
			})
		})
	}
}

// TestSilentReplicaReturns: who is back is seen at once where a key leaks, and where its pod tells; else in its turn.
func TestSilentReplicaReturns(t *testing.T) {
	for name, row := range map[string]struct {
		back   func(s *service)
		most   time.Duration
		within time.Duration
	}{
		"an emergency":     {func(*service) {}, askEverybody, 0},
		"it became ready":  {func(s *service) { s.pods[0].Status.Conditions[0].Status = corev1.ConditionFalse }, silencePauseMax, 0},
		"it was ready":     {func(s *service) { s.pods[0].Status.Conditions[0].LastTransitionTime = metav1.Now() }, silencePauseMax, 0},
		"another address":  {func(s *service) { s.pods[0].Status.PodIP = "10.1.2.4" }, silencePauseMax, 0},
		"another pod":      {func(s *service) { s.pods[0].UID = "new" }, silencePauseMax, 0},
		"old revocation":   {func(*service) {}, silenceRevoking, silenceRevoking + time.Second},
		"nothing is known": {func(*service) {}, silencePauseMax, silencePauseMax + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				people := &gathering{}
				s := newService(people, 1)
				people.silence(true, s.pods[0].Name)
				for began := time.Now(); time.Since(began) < 10*time.Minute; {
					s.ask(row.most)
					<-time.After(time.Second)
				}
				people.silence(false, s.pods[0].Name)
				row.back(s)
				began := time.Now()
				for {
					if answered, _, _ := s.ask(row.most); len(answered) == 1 {
						break
					}
					if time.Since(began) > time.Hour {
						t.Fatal("it is not asked any more")
					}
					<-time.After(time.Second)
				}
				if took := time.Since(began); took > row.within {
					t.Errorf("seen after %s, want %s", took, row.within)
				}
				if len(s.b.silences.of) != 0 {
					t.Error("it is not forgotten that it was silent")
				}
			})
		})
	}
}

// TestSilencesAreForgotten with their pods.
func TestSilencesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		people := &gathering{}
		s := newService(people, 3)
		people.silence(true, s.names()...)
		s.ask(silencePauseMax)
		if s.pods = s.pods[:2]; len(s.b.silences.of) != 3 {
			t.Fatalf("%d are known", len(s.b.silences.of))
		}
		if s.ask(silencePauseMax); len(s.b.silences.of) != 2 {
			t.Errorf("%d are known after one has gone", len(s.b.silences.of))
		}
		s.b.silences.keep(types.NamespacedName{Namespace: "shop", Name: "other"}, nil)
		if len(s.b.silences.of) != 2 {
			t.Error("another TokenService forgets ours")
		}
		if s.b.silences.keep(theService, nil); len(s.b.silences.of) != 0 {
			t.Error("a TokenService that is gone leaves something behind")
		}
	})
}

// TestTooManySilentReplicas: there is an end even where thousands are silent at first, and who was not asked is not blamed.
func TestTooManySilentReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		people := &gathering{}
		s := newService(people, 1000)
		people.silence(true, s.names()[:999]...)
		_, all, took := s.ask(silencePauseMax)
		if took > statusOverall {
			t.Errorf("it took %s, want %s at most", took, statusOverall)
		}
		if last := all[999]; last.status != nil || !errors.Is(last.err, errNotAsked) {
			t.Errorf("the last one: %+v", last)
		}
		for range 10 { // each look knows more of them, and those that are not known are asked first
			s.ask(silencePauseMax)
		}
		if answered, _, _ := s.ask(silencePauseMax); len(answered) != 1 {
			t.Error("the one that answers is not heard")
		}
	})
}

// TestQuickFailures are no silence: a pod that starts refuses connections, and must be seen as soon as it does not.
func TestQuickFailures(t *testing.T) {
	b := &base{status: failing{errors.New("connection refused")}, now: time.Now}
	s := service{b: b, pods: newService(nil, 1).pods}
	for range 3 {
		if _, all, _ := s.ask(silencePauseMax); all[0].spared || all[0].err == nil {
			t.Fatalf("%+v", all[0])
		}
	}
	// One that takes its time to refuse is another matter.
	clock := &steppedClock{now: noon}
	b.now, b.status = clock.Now, readerFunc(func() { clock.step(slowFailure) })
	s.ask(silencePauseMax)
	if _, all, _ := s.ask(silencePauseMax); !all[0].spared {
		t.Error("a late refusal costs a worker again and again")
	}
	leaps := newService(readerFunc(func() { clock.step(time.Hour) }), 1)
	leaps.b.now = clock.Now
	leaps.ask(silencePauseMax)
	if _, all, _ := leaps.ask(silencePauseMax); all[0].spared {
		t.Error("a clock that leaps is taken for a late refusal")
	}
}

type failing struct{ err error }

func (f failing) Read(context.Context, *corev1.Pod) (*snapshot.Status, error) { return nil, f.err }

type readerFunc func()

func (f readerFunc) Read(context.Context, *corev1.Pod) (*snapshot.Status, error) {
	f()
	return nil, errors.New("reset")
}
