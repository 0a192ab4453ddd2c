package controllers

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/probe"
	"github.com/keyturn/keyturn/internal/token"
)

// Options are what the controllers need besides the manager.
type Options struct {
	// Image is the container image of the token service and the edge. Required.
	Image string
	// Namespace is where the manager runs: its pods may read the replicas' status. By default keyturn-system.
	Namespace string
	// Status asks the replicas; by default over HTTP.
	Status StatusReader
	// Census asks the edges who still uses legacy sessions; by default over HTTP. A Status without a Census asks nobody.
	Census CensusReader
	// Cluster reads the keys of this cluster's ServiceAccount tokens; by default from the API server.
	Cluster ClusterReader
	// Now is the clock; by default time.Now.
	Now func() time.Time
	// Probes says which addresses the probes of AccessPolicies may go to; by default those of the public Internet.
	Probes probe.Reach
	// SteadyPoll is how long a settled object is left alone when no watch reports anything; by default 30 s.
	SteadyPoll time.Duration
	// Revocations bounds those in a document that are not enforced yet; by default 1,000.
	Revocations int

	// generate makes a key; nil: [token.Generate].
	generate func(token.Algorithm, int) (*token.PrivateKey, error)
}

// How many objects of a kind are worked on at a time. Replicas that never answer, and admission webhooks of others that do so late,
// hold up that many of the objects that they belong to, and none of the rest.
const (
	setsAtOnce     = 8
	servicesAtOnce = 8
	rolloutsAtOnce = 4
	accessAtOnce   = 4
)

// keysAtOnce is how many keys are generated at a time: it bounds the processors that thousands of sets that are due together take.
const keysAtOnce = 4

// atOnce are the options of a controller with so many workers.
func atOnce(workers int) controller.Options {
	return controller.Options{MaxConcurrentReconciles: workers}
}

// CacheOptions bound the manager's cache to what Keyturn has made. Of its own Secrets it holds the metadata only, of those of
// others nothing: what is in them is read live, when it is needed.
func CacheOptions() cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{keyturnv1alpha1.LabelManagedBy: keyturnv1alpha1.ManagerName})}
	return cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Secret{}: ours, &corev1.ConfigMap{}: ours, &corev1.Pod{}: ours, &corev1.Service{}: ours,
		&corev1.ServiceAccount{}: ours, &appsv1.Deployment{}: ours, &appsv1.StatefulSet{}: ours, &appsv1.ReplicaSet{}: ours,
		&policyv1.PodDisruptionBudget{}: ours, &networkingv1.NetworkPolicy{}: ours,
	}}
}

// Setup adds the controllers to the manager.
func Setup(mgr ctrl.Manager, options Options) error {
	shared := newBase(mgr, &options)
	set := &signingKeySetReconciler{base: shared, maker: newKeyMaker(options.generate)}
	err := ctrl.NewControllerManagedBy(mgr).For(&keyturnv1alpha1.SigningKeySet{}).
		Watches(&keyturnv1alpha1.TokenService{}, handler.EnqueueRequestsFromMapFunc(setOfService)).
		Watches(&keyturnv1alpha1.TokenPolicy{}, handler.EnqueueRequestsFromMapFunc(shared.setsOfPolicy)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(byLabel(keyturnv1alpha1.LabelSigningKeySet)), builder.OnlyMetadata).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(byLabel(keyturnv1alpha1.LabelSigningKeySet))).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(shared.setOfPod)).
		Watches(&keyturnv1alpha1.Revocation{}, handler.EnqueueRequestsFromMapFunc(setOfRevocation)).
		WithOptions(atOnce(setsAtOnce)).
		Complete(set)
	if err != nil {
		return err
	}
	if options.Cluster == nil {
		if options.Cluster, err = newAPIServer(mgr.GetConfig()); err != nil {
			return err
		}
	}
	service := &tokenServiceReconciler{base: shared, cluster: clusterCache{reader: options.Cluster}}
	err = ctrl.NewControllerManagedBy(mgr).For(&keyturnv1alpha1.TokenService{}).
		Owns(&appsv1.StatefulSet{}).Owns(&appsv1.Deployment{}).Owns(&corev1.Service{}).Owns(&corev1.ServiceAccount{}).
		Owns(&corev1.Secret{}, builder.OnlyMetadata).
		Owns(&policyv1.PodDisruptionBudget{}).Owns(&networkingv1.NetworkPolicy{}).
		Watches(&keyturnv1alpha1.SigningKeySet{}, handler.EnqueueRequestsFromMapFunc(shared.servicesUsing(usesSet))).
		Watches(&keyturnv1alpha1.TokenPolicy{}, handler.EnqueueRequestsFromMapFunc(shared.servicesUsing(usesPolicy))).
		Watches(&keyturnv1alpha1.AuthRollout{}, handler.EnqueueRequestsFromMapFunc(serviceOfRollout)).
		Watches(&keyturnv1alpha1.AccessPolicy{}, handler.EnqueueRequestsFromMapFunc(shared.servicesOfAccess)).
		Watches(&keyturnv1alpha1.Revocation{}, handler.EnqueueRequestsFromMapFunc(shared.servicesOfRevocation), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(shared.servicesOfRing), builder.OnlyMetadata).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(byLabel(keyturnv1alpha1.LabelTokenService))).
		WithOptions(atOnce(servicesAtOnce)).
		Complete(service)
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(mgr).For(&keyturnv1alpha1.AuthRollout{}).
		Watches(&keyturnv1alpha1.AuthRollout{}, handler.EnqueueRequestsFromMapFunc(shared.rolloutsBeside)).
		Watches(&keyturnv1alpha1.TokenService{}, handler.EnqueueRequestsFromMapFunc(shared.rolloutsOfService)).
		Owns(&corev1.ConfigMap{}).
		WithOptions(atOnce(rolloutsAtOnce)).
		Complete(&authRolloutReconciler{base: shared, census: options.Census})
	if err != nil {
		return err
	}
	if err := setupAccess(mgr, shared, options.Probes); err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(mgr).For(&keyturnv1alpha1.Revocation{}).Complete(&revocationReconciler{shared}); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).For(&keyturnv1alpha1.TokenPolicy{}).
		Watches(&keyturnv1alpha1.TokenService{}, handler.EnqueueRequestsFromMapFunc(policyOfService)).
		Complete(&tokenPolicyReconciler{shared})
}

// newBase fills in the defaults of the options.
func newBase(mgr ctrl.Manager, options *Options) *base {
	shared := &base{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), scheme: mgr.GetScheme(),
		recorder: mgr.GetEventRecorder(keyturnv1alpha1.ManagerName),
		status:   options.Status, now: options.Now, image: options.Image, namespace: options.Namespace, steady: options.SteadyPoll,
	}
	if shared.status == nil {
		asks := NewHTTPStatus()
		shared.status = asks
		if options.Census == nil {
			options.Census = asks
		}
	}
	if shared.namespace == "" {
		shared.namespace = "keyturn-system"
	}
	if shared.now == nil {
		shared.now = time.Now
	}
	if shared.steady <= 0 {
		shared.steady = pollSteady
	}
	if shared.room = options.Revocations; shared.room <= 0 {
		shared.room = maxRevocations
	}
	return shared
}

func requestFor(namespace, name string) []reconcile.Request {
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// byLabel finds the object that a derived object's label names.
func byLabel(label string) handler.MapFunc {
	return func(_ context.Context, object client.Object) []reconcile.Request {
		return requestFor(object.GetNamespace(), object.GetLabels()[label])
	}
}

func setOfService(_ context.Context, object client.Object) []reconcile.Request {
	tsvc, ok := object.(*keyturnv1alpha1.TokenService)
	if !ok {
		return nil
	}
	return requestFor(tsvc.Namespace, tsvc.Spec.SigningKeySetRef.Name)
}

func policyOfService(_ context.Context, object client.Object) []reconcile.Request {
	tsvc, ok := object.(*keyturnv1alpha1.TokenService)
	if !ok {
		return nil
	}
	return requestFor(tsvc.Namespace, tsvc.Spec.TokenPolicyRef.Name)
}

func serviceOfRollout(_ context.Context, object client.Object) []reconcile.Request {
	aro, ok := object.(*keyturnv1alpha1.AuthRollout)
	if !ok {
		return nil
	}
	return requestFor(aro.Namespace, aro.Spec.TokenServiceRef.Name)
}

// rolloutsBeside finds the other AuthRollouts of the same TokenService: when the oldest goes, the next one counts.
func (b *base) rolloutsBeside(ctx context.Context, object client.Object) []reconcile.Request {
	aro, ok := object.(*keyturnv1alpha1.AuthRollout)
	if !ok {
		return nil
	}
	all, err := b.rolloutsOf(ctx, aro.Namespace, aro.Spec.TokenServiceRef.Name)
	if err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range all {
		if all[i].UID != aro.UID {
			out = append(out, requestFor(aro.Namespace, all[i].Name)...)
		}
	}
	return out
}

// rolloutsOfService finds the AuthRollouts of a TokenService.
func (b *base) rolloutsOfService(ctx context.Context, object client.Object) []reconcile.Request {
	all, err := b.rolloutsOf(ctx, object.GetNamespace(), object.GetName())
	if err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range all {
		out = append(out, requestFor(object.GetNamespace(), all[i].Name)...)
	}
	return out
}

func usesSet(tsvc *keyturnv1alpha1.TokenService, name string) bool {
	return tsvc.Spec.SigningKeySetRef.Name == name
}

func usesPolicy(tsvc *keyturnv1alpha1.TokenService, name string) bool {
	return tsvc.Spec.TokenPolicyRef.Name == name
}

// servicesUsing finds the TokenServices that refer to an object.
func (b *base) servicesUsing(uses func(*keyturnv1alpha1.TokenService, string) bool) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return b.services(ctx, object.GetNamespace(), func(tsvc *keyturnv1alpha1.TokenService) bool { return uses(tsvc, object.GetName()) })
	}
}

// servicesOfRing finds the TokenServices whose documents are made from a ring or a key.
func (b *base) servicesOfRing(ctx context.Context, object client.Object) []reconcile.Request {
	set := object.GetLabels()[keyturnv1alpha1.LabelSigningKeySet]
	if set == "" {
		return nil
	}
	return b.services(ctx, object.GetNamespace(), func(tsvc *keyturnv1alpha1.TokenService) bool { return usesSet(tsvc, set) })
}

// setsOfPolicy finds the sets whose keys sign under a policy: its lifetimes decide how long a key verifies.
func (b *base) setsOfPolicy(ctx context.Context, object client.Object) []reconcile.Request {
	var out []reconcile.Request
	for _, r := range b.services(ctx, object.GetNamespace(), func(tsvc *keyturnv1alpha1.TokenService) bool { return usesPolicy(tsvc, object.GetName()) }) {
		var tsvc keyturnv1alpha1.TokenService
		if err := b.client.Get(ctx, r.NamespacedName, &tsvc); err == nil {
			out = append(out, setOfService(ctx, &tsvc)...)
		}
	}
	return out
}

func (b *base) setOfPod(ctx context.Context, object client.Object) []reconcile.Request {
	var tsvc keyturnv1alpha1.TokenService
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetLabels()[keyturnv1alpha1.LabelTokenService]}
	if name.Name == "" || b.client.Get(ctx, name, &tsvc) != nil {
		return nil
	}
	return setOfService(ctx, &tsvc)
}

func (b *base) services(ctx context.Context, namespace string, wanted func(*keyturnv1alpha1.TokenService) bool) []reconcile.Request {
	var all keyturnv1alpha1.TokenServiceList
	if err := b.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil // the steady poll comes by
	}
	var out []reconcile.Request
	for i := range all.Items {
		if wanted(&all.Items[i]) {
			out = append(out, requestFor(namespace, all.Items[i].Name)...)
		}
	}
	return out
}
