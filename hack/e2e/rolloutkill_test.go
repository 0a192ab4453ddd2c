package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// podsOf are the pods of a component of the rollout's TokenService; the manager has a namespace of its own.
func (w *rolloutWorld) podsOf(component string) (namespace string, pods []corev1.Pod) {
	w.Helper()
	namespace = w.namespace
	if component == keyturnv1alpha1.ComponentManager {
		namespace = "keyturn-system"
	}
	var list corev1.PodList
	if err := theStage.Client.List(w.Context(), &list, client.InNamespace(namespace), client.MatchingLabels{keyturnv1alpha1.LabelComponent: component}); err != nil {
		w.Fatal(err)
	}
	return namespace, list.Items
}

// freeze stops the processes of one pod of a component, and those that take their place, until thaw is called.
func (w *rolloutWorld) freeze(component string) (thaw func()) {
	w.Helper()
	namespace, pods := w.podsOf(component)
	if len(pods) == 0 {
		w.Fatalf("no pod of the component %s", component)
	}
	signal := func(s syscall.Signal) (n int) {
		for _, pid := range theStage.Cluster.Agent().PodPids(namespace, pods[0].Name) {
			if syscall.Kill(pid, s) == nil {
				n++
			}
		}
		return n
	}
	if signal(syscall.SIGSTOP) == 0 {
		w.Fatalf("pod %s has no process", pods[0].Name)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				signal(syscall.SIGCONT)
				return
			case <-tick.C:
				signal(syscall.SIGSTOP)
			}
		}
	}()
	thaw = sync.OnceFunc(func() {
		close(stop)
		<-ended
	})
	w.Cleanup(thaw)
	return thaw
}

// killOne sends SIGKILL to the processes of one pod of a component.
func (w *rolloutWorld) killOne(component string) {
	w.Helper()
	w.eventually(func(context.Context) (string, error) { // one that has just ended of its own accord starts again
		namespace, pods := w.podsOf(component)
		killed := 0
		for i := range pods {
			for _, pid := range theStage.Cluster.Agent().PodPids(namespace, pods[i].Name) {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					killed++
				}
			}
			if killed > 0 {
				return "", nil
			}
		}
		return "no process of the component " + component + " to kill", nil
	})
}

// TestRolloutKilled kills the manager, an edge or the token service at some moment of a change of the percentage, up and
// down, under a fleet: the change comes to its end, moves each client at most once, nothing else changes the percentage,
// and nobody is logged out.
func TestRolloutKilled(t *testing.T) {
	rounds := 1
	if os.Getenv("KEYTURN_SOAK") == "1" {
		rounds = 6
	}
	plan := rolloutPlan{namespace: "rollout-killed", users: fleetUsers(160), pace: pace{call: 500 * time.Millisecond, open: 5 * time.Second}, steps: `
  - {percent: 50, bake: 1h}
  - {percent: 100, bake: 1h}
`}
	w := newRolloutWorld(t, plan)
	w.launch(plan)
	w.at(0, false)
	for range rounds {
		for _, component := range []string{keyturnv1alpha1.ComponentManager, keyturnv1alpha1.ComponentEdge, keyturnv1alpha1.ComponentTokenService} {
			w.changeUnderFire(component, "promote", 50)
			w.changeUnderFire(component, "abort", 0)
		}
	}
}

// moments are how long after a command something is killed: before it was seen, while it is on its way, when it is in
// force.
var moments = []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond}

func (w *rolloutWorld) changeUnderFire(component, action string, percent int) {
	w.Helper()
	what := fmt.Sprintf("%s to %d%%, %s killed", action, percent, component)
	before, moves := w.history(), w.fleet.moves()
	moment := moments[rand.N(len(moments))] //nolint:gosec // any will do
	w.command(action)
	<-time.After(moment) // not to wait for something: the moment of the kill is what is varied
	w.killOne(component)
	w.at(percent, true)
	w.onceEach(fmt.Sprintf("%s %s later", what, moment), moves)
	w.nobodyOut(what)
	w.serving()
	after := w.history()
	const kept = 20 // at most
	if len(after) != min(len(before)+1, kept) || int(after[0].To) != percent || len(before) > 0 && after[1] != before[0] {
		w.Fatalf("%s: the history was %+v and is %+v", what, before, after)
	}
}

// history is what the status has of it; it keeps the last twenty changes.
func (w *rolloutWorld) history() []keyturnv1alpha1.RolloutChange {
	w.Helper()
	aro, err := w.get(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return aro.Status.History
}

// serving waits until every pod is ready again: who is killed next has recovered.
func (w *rolloutWorld) serving() {
	w.Helper()
	w.eventually(func(context.Context) (string, error) {
		for _, component := range []string{keyturnv1alpha1.ComponentManager, keyturnv1alpha1.ComponentEdge, keyturnv1alpha1.ComponentTokenService} {
			_, pods := w.podsOf(component)
			for i := range pods {
				if !ready(&pods[i]) {
					return pods[i].Name + " is not ready", nil
				}
			}
		}
		return "", nil
	})
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
