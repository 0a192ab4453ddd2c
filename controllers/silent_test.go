package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// The neighbours of TestSilentNeighbours: TokenServices that have a set each, and replicas none of which ever answers.
const (
	neighbours        = 16
	neighbourReplicas = 2
)

// besideSilent asks the fleet, and for the pods of another namespace waits for nothing, as long as it is let.
type besideSilent struct {
	*fleet
	mu     sync.Mutex
	asked  map[string]int
	refuse bool // from now on they say at once that they do not answer
}

func (b *besideSilent) Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	if pod.Namespace == b.w.ns {
		return b.fleet.Read(ctx, pod)
	}
	b.mu.Lock()
	b.asked[pod.Name]++
	refuse := b.refuse
	b.mu.Unlock()
	if refuse {
		return nil, errors.New("connection refused")
	}
	<-ctx.Done()
	return nil, withoutAddress(ctx.Err())
}

// most is how often the one was asked that was asked most, and how many were asked at all.
func (b *besideSilent) most() (often, pods int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.asked {
		often = max(often, n)
	}
	return often, len(b.asked)
}

// TestSilentNeighbours: more TokenServices than there are workers have replicas that accept a connection and never answer. The
// rotation of a set that has nothing to do with them takes about as long as without, and they are asked less and less.
func TestSilentNeighbours(t *testing.T) {
	w := newQuietWorld(t)
	abroad := newNamespace(t)
	asks := &besideSilent{fleet: w.fleet, asked: map[string]int{}}
	w.elsewhere, w.asks = []string{abroad}, asks
	w.startManager()
	w.declare()
	w.eventually("settle", w.unhealthy)
	alone := w.rotateOnce("alone")

	w.declareSilent(abroad)
	w.eventually("the silent ones are waited for", func() string {
		if _, pods := asks.most(); pods < neighbours*neighbourReplicas {
			return fmt.Sprintf("%d were asked", pods)
		}
		return ""
	})
	beside := min(w.rotateOnce("beside"), w.rotateOnce("once more")) // who waits for the silent ones waits each time
	often, _ := asks.most()
	asks.mu.Lock()
	asks.refuse = true
	asks.mu.Unlock()
	alone = max(alone, w.rotateOnce("refused")) // what else the machine has to do may have grown meanwhile
	t.Logf("a rotation took %.1f s, and %.1f s beside %d sets whose replicas are silent", alone.Seconds(), beside.Seconds(), neighbours)
	if allowed := 2*alone + 2*statusTimeout; beside > allowed {
		t.Errorf("a rotation took %s beside silent neighbours, else %s: want %s at most", beside, alone, allowed)
	}
	// The clock stood still but for the two rotations: it was their turn three times, for two controllers.
	if often > 6 {
		t.Errorf("a silent replica was asked %d times, want at most 6", often)
	}
	w.unconfirmed(abroad)
}

// rotateOnce has the set rotate, and returns how long that took from the request until every replica has taken it up.
func (w *world) rotateOnce(request string) time.Duration {
	w.Helper()
	next := w.ring().Standby()
	w.step(25 * time.Hour)
	began := time.Now()
	w.request(request)
	w.state(next.KID, keys.Active)
	w.eventually("settle", w.unhealthy)
	return time.Since(began)
}

// declareSilent makes TokenServices with pods that never answer, in another namespace.
func (w *world) declareSilent(ns string) {
	w.Helper()
	there := func(object client.Object) client.Object {
		object.SetNamespace(ns)
		return object
	}
	w.create(there(w.newUsers()))
	w.create(there(w.newPolicy()))
	for i := range neighbours {
		name := fmt.Sprintf("silent-%02d", i)
		set, tsvc := w.newSet(), w.newService()
		set.Name, tsvc.Name, tsvc.Spec.SigningKeySetRef.Name = name, name, name
		w.create(there(set))
		w.create(there(tsvc))
	}
	for i := range neighbours {
		var workload appsv1.StatefulSet
		name := client.ObjectKey{Namespace: ns, Name: fmt.Sprintf("silent-%02d-tokenservice", i)}
		w.eventually("the workload of "+name.Name, func() string {
			if err := admin.Get(w.ctx, name, &workload); err != nil {
				return err.Error()
			}
			return ""
		})
		for n := range neighbourReplicas {
			pod := &corev1.Pod{ObjectMeta: *workload.Spec.Template.ObjectMeta.DeepCopy(), Spec: *workload.Spec.Template.Spec.DeepCopy()}
			pod.Namespace, pod.Name = ns, fmt.Sprintf("%s-%d", name.Name, n)
			pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts = nil, nil
			pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&workload, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
			w.create(pod)
			w.fleet.run(pod)
		}
	}
}

// unconfirmed checks that nobody who is silent is taken to have anything.
func (w *world) unconfirmed(ns string) {
	w.Helper()
	var all keyturnv1alpha1.TokenServiceList
	if err := admin.List(w.ctx, &all, client.InNamespace(ns)); err != nil {
		w.Fatal(err)
	}
	for i := range all.Items {
		status := &all.Items[i].Status
		if bad := want(status.Conditions, "KeysLoaded", "False ReplicaUnreachable"); bad != "" || !strings.HasPrefix(status.Replicas, "0/") {
			w.Errorf("%s: %s replicas, %s", all.Items[i].Name, status.Replicas, bad)
		}
	}
}

// muted asks the fleet, whose token service is silent as long as it is let.
type muted struct {
	*fleet
	mu    sync.Mutex
	mute  bool
	asked int // of the token service
}

func (m *muted) Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	m.mu.Lock()
	mute := false
	if strings.Contains(pod.Name, "-tokenservice") {
		m.asked++
		mute = m.mute
	}
	m.mu.Unlock()
	if mute {
		<-ctx.Done()
		return nil, withoutAddress(ctx.Err())
	}
	return m.fleet.Read(ctx, pod)
}

func (m *muted) silence(mute bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mute = mute
}

// times is how often the token service was asked.
func (m *muted) times() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// TestSilentReplicaInNeed: a token service that is silent is left alone as long as the clock stands still; but not when the ring is
// lost, of which it may know more than others, and not while it signs with a key that leaked.
func TestSilentReplicaInNeed(t *testing.T) {
	w := newQuietWorld(t)
	asks := &muted{fleet: w.fleet}
	w.asks = asks
	w.startManager()
	w.declare()
	w.eventually("settle", w.unhealthy)
	silence := func() (times int) {
		asks.silence(true)
		w.eventually("it is known to be silent, and left alone", func() string {
			before := asks.times()
			w.touch()
			ctx, cancel := context.WithTimeout(w.ctx, 2500*time.Millisecond) // two steady polls
			defer cancel()
			<-ctx.Done()
			if times = asks.times(); times != before {
				return "it was asked"
			}
			return want(w.service().Status.Conditions, "KeysLoaded", "False ReplicaUnreachable")
		})
		return times
	}

	before := silence()
	w.remove(&corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))})
	w.eventually("the ring is made anew", func() string {
		if w.ring() == nil {
			return "there is none"
		}
		return ""
	})
	if asks.times() == before {
		t.Error("the ring was made anew without asking the token service")
	}
	asks.silence(false)
	w.clock.step(silencePauseMax)
	w.eventually("settle", w.unhealthy)

	// Both keys leak, and the edges do not load the one that is to take over.
	leaked, standby := w.ring().Active().KID, w.ring().Standby().KID
	w.fleet.set("edge", fault{lag: true})
	silence()
	w.revoke("standby", standby)
	w.revoke("leaked", leaked)
	w.eventually("the standby is buried", func() string {
		if w.ring().Key(standby) != nil {
			return "it is in the ring"
		}
		return ""
	})
	w.clock.step(time.Minute) // the Revocations are not young any more
	before = asks.times()
	w.eventually("it is asked again and again", func() string {
		if n := asks.times() - before; n < 8 {
			return fmt.Sprintf("%d times", n)
		}
		return ""
	})
	if key := w.ring().Key(leaked); key == nil || key.State != keys.Active {
		t.Errorf("the leaked key: %+v", key)
	}
	asks.silence(false)
	w.fleet.set("edge", fault{})
	w.eventually("it is heard as soon as it answers, though the clock stands still", func() string {
		if ring := w.ring(); ring.Key(leaked) != nil || ring.Active() == nil {
			return "the key is in the ring"
		}
		return ""
	})
}
