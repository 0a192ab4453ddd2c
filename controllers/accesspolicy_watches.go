package controllers

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/probe"
)

// setupAccess adds the controller of AccessPolicies.
func setupAccess(mgr ctrl.Manager, shared *base, reach probe.Reach) error {
	probes := newAccessProbes(shared, reach)
	if err := mgr.Add(probes); err != nil {
		return err
	}
	watches := &foreignWatches{base: shared, cache: mgr.GetCache()}
	built, err := ctrl.NewControllerManagedBy(mgr).For(&keyturnv1alpha1.AccessPolicy{}).
		Watches(&keyturnv1alpha1.AccessPolicy{}, handler.EnqueueRequestsFromMapFunc(shared.accessBeside)).
		Watches(&keyturnv1alpha1.AccessPolicy{}, handler.Funcs{
			DeleteFunc: func(_ context.Context, gone event.DeleteEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				if acp, ok := gone.Object.(*keyturnv1alpha1.AccessPolicy); ok {
					shared.accessDeleted(acp)
				}
			},
		}).
		Watches(&keyturnv1alpha1.TokenService{}, handler.EnqueueRequestsFromMapFunc(shared.accessOfService)).
		WithOptions(atOnce(accessAtOnce)).
		WatchesRawSource(source.Channel(probes.done, &handler.EnqueueRequestForObject{})).
		Build(&accessPolicyReconciler{base: shared, watches: watches, probes: probes})
	watches.controller = built
	return err
}

// foreignWatches watch the metadata of other people's kinds: those only that a policy names and the cluster has. A kind that
// is installed later is found by the poll of the policies that need it.
type foreignWatches struct {
	*base
	cache      cache.Cache
	controller controller.Controller

	mu      sync.Mutex
	started map[schema.GroupKind]bool
}

// need starts the watches that a policy needs.
func (w *foreignWatches) need(acp *keyturnv1alpha1.AccessPolicy) error {
	for i := range acp.Spec.TargetRefs {
		target := &acp.Spec.TargetRefs[i]
		if err := w.watch(schema.GroupKind{Group: target.Group, Kind: target.Kind}, w.accessOfTarget(target.Group, target.Kind)); err != nil {
			return err
		}
	}
	if serviceOfAccess(acp).Namespace != acp.Namespace {
		if err := w.watch(referenceGrantKind, w.accessOfGrant); err != nil {
			return err
		}
	}
	if gvk, makes := adapters[acp.Spec.Adapter.Type]; makes {
		return w.watch(gvk.GroupKind(), accessOfObject)
	}
	return nil
}

func (w *foreignWatches) watch(kind schema.GroupKind, find handler.MapFunc) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started[kind] {
		return nil
	}
	gvk, found, err := w.installed(kind)
	if err != nil || !found {
		return err
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(gvk)
	if err := w.controller.Watch(source.Kind(w.cache, client.Object(object), handler.EnqueueRequestsFromMapFunc(find))); err != nil {
		return err
	}
	if w.started == nil {
		w.started = map[schema.GroupKind]bool{}
	}
	w.started[kind] = true
	return nil
}

// accessOfTarget finds the policies that name a target.
func (w *foreignWatches) accessOfTarget(group, kind string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return w.accessRequests(ctx, object.GetNamespace(), func(acp *keyturnv1alpha1.AccessPolicy) bool {
			for _, t := range acp.Spec.TargetRefs {
				if t.Group == group && t.Kind == kind && t.Name == object.GetName() {
					return true
				}
			}
			return false
		})
	}
}

// accessOfGrant finds the policies of other namespaces that refer to a TokenService in the grant's.
func (w *foreignWatches) accessOfGrant(ctx context.Context, object client.Object) []reconcile.Request {
	return w.accessRequests(ctx, "", func(acp *keyturnv1alpha1.AccessPolicy) bool {
		return acp.Namespace != object.GetNamespace() && serviceOfAccess(acp).Namespace == object.GetNamespace()
	})
}

// accessOfObject finds the policy that an adapter's object was made for, also where somebody took its owner away.
func accessOfObject(_ context.Context, object client.Object) []reconcile.Request {
	if owner := metav1.GetControllerOf(object); owner != nil && owner.Kind == "AccessPolicy" {
		return requestFor(object.GetNamespace(), owner.Name)
	}
	return requestFor(object.GetNamespace(), object.GetLabels()[keyturnv1alpha1.LabelAccessPolicy])
}
