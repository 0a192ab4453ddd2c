package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// onlooker is what one manager asks the replicas by. It counts the reconciles of each controller that have asked.
type onlooker struct {
	StatusReader

	mu    sync.Mutex
	last  map[string]types.UID // by controller: the reconcile that asked last
	began map[string]int       // by controller: how many have begun to ask
}

// Read implements [StatusReader].
func (o *onlooker) Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	of, reconcile := controllerOf(ctx), controller.ReconcileIDFromContext(ctx)
	o.mu.Lock()
	if o.last == nil {
		o.last, o.began = map[string]types.UID{}, map[string]int{}
	}
	if o.last[of] != reconcile {
		o.last[of] = reconcile
		o.began[of]++
	}
	o.mu.Unlock()
	return o.StatusReader.Read(ctx, pod)
}

// looked is how many reconciles of a controller have begun to ask.
func (o *onlooker) looked(controller string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.began[controller]
}

// controllerOf is the name of the controller that reconciles, as its log has it.
func controllerOf(ctx context.Context) string {
	values, ok := ctrl.LoggerFrom(ctx).GetSink().(interface {
		FormatInfo(level int, message string, pairs []any) (prefix, text string)
	})
	if !ok {
		return ""
	}
	var line struct{ Controller string }
	_, text := values.FormatInfo(0, "", nil)
	_ = json.Unmarshal([]byte(text), &line) // whoever is waited for and has no name is missed
	return line.Controller
}

// onlookers are those of the managers that run.
type onlookers struct {
	mu  sync.Mutex
	all []*onlooker
}

func (o *onlookers) join(one *onlooker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, one)
}

func (o *onlookers) leave(one *onlooker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.DeleteFunc(o.all, func(other *onlooker) bool { return other == one })
}

func (o *onlookers) present() []*onlooker {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// polls waits until each controller of each manager has so many times begun to ask the replicas and come to an end: what was due
// for one of them is done, and what it decided by is not older than the call. That a reconcile has ended is seen by the next one,
// because there is one at a time of an object.
func (w *world) polls(times int) {
	w.Helper()
	asking := []string{"signingkeyset", "tokenservice"}
	if w.get(&keyturnv1alpha1.AuthRollout{}, rolloutName) {
		asking = append(asking, "authrollout")
	}
	managers := w.managers.present()
	if len(managers) == 0 {
		w.Fatal("polls: no manager runs")
	}
	from := map[*onlooker]map[string]int{}
	for _, one := range managers {
		from[one] = map[string]int{}
		for _, of := range asking {
			from[one][of] = one.looked(of)
		}
	}
	w.eventually("polls", func() string {
		for i, one := range managers {
			for _, of := range asking {
				if begun := one.looked(of) - from[one][of]; begun < times+1 {
					return fmt.Sprintf("%s of manager %d has looked %d times", of, i, begun)
				}
			}
		}
		return ""
	})
}
