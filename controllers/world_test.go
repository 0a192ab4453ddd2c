package controllers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// The names of what a test declares.
const (
	setName     = "main"
	policyName  = "web"
	serviceName = "web"
	usersName   = "users"
	testImage   = "registry.example/keyturn:1"
	usersHash   = "$2y$10$4vQlwius0RhYBd8ls0uuKuQS1V/Z.ypwM71CGwuzlSb.mKgtSZbe6"
)

// patience bounds every wait of a test: far more than any should take on a busy machine. With the counts in full hundreds of worlds
// wait for their turn.
var patience = func() time.Duration {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return 6 * time.Minute
	}
	return 90 * time.Second
}()

// steppedClock is the manager's and the replicas' clock: it stands still until a test moves it.
type steppedClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is one namespace with a manager that sees nothing else, a clock and a fleet of replicas.
type world struct {
	*testing.T
	ctx    context.Context
	ns     string
	clock  *steppedClock
	fleet  *fleet
	writes atomic.Int64
	// cluster reads the cluster's keys; nil for the API server's own.
	cluster ClusterReader
	// room is for how many revocations a document has room; 0 for as many as anywhere.
	room int
	// asks is what the manager asks the replicas by; nil: the fleet.
	asks StatusReader
	// elsewhere are other namespaces that the manager sees.
	elsewhere []string
	// stopManager ends the manager that was started last.
	stopManager func()
	managers    onlookers         // those that run
	ends        []<-chan struct{} // what has to end before the test does
}

// newWorld starts a manager in a namespace with nothing in it.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newQuietWorld(t)
	w.startManager()
	return w
}

// newQuietWorld is one without a manager.
func newQuietWorld(t *testing.T) *world {
	t.Helper()
	needAPIServer(t)
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{T: t, ctx: ctx, ns: newNamespace(t), clock: &steppedClock{now: time.Now().UTC().Truncate(time.Second)}}
	w.fleet = newFleet(w)
	w.fleet.start()
	t.Cleanup(func() {
		w.noLeaks()
		w.fleet.report(t)
		cancel()
		for _, s := range w.ends {
			<-s
		}
	})
	return w
}

// startManager starts the controllers as they run in a cluster, on the API server's real watches, until the
// world ends.
func (w *world) startManager() {
	w.Helper()
	w.startManagerOver(nil)
}

// startManagerOver starts one that talks to the API server through something.
func (w *world) startManagerOver(wrap transport.WrapperFunc) {
	w.Helper()
	own := rest.CopyConfig(managerConfig)
	if wrap != nil {
		own.Wrap(wrap)
	}
	own.Wrap(func(next http.RoundTripper) http.RoundTripper { return countWrites{next, &w.writes} })
	bounded := CacheOptions()
	bounded.DefaultNamespaces = map[string]cache.Config{w.ns: {}}
	for _, namespace := range w.elsewhere {
		bounded.DefaultNamespaces[namespace] = cache.Config{}
	}
	skip := true
	mgr, err := ctrl.NewManager(own, ctrl.Options{
		Scheme: scheme, Cache: bounded, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		w.Fatal(err)
	}
	var asks StatusReader = w.fleet
	if w.asks != nil {
		asks = w.asks
	}
	looks := &onlooker{StatusReader: asks}
	if err := Setup(mgr, Options{Image: testImage, Namespace: "keyturn-system", Status: looks, Census: w.fleet, Cluster: w.cluster, Now: w.clock.Now, Probes: testReach, SteadyPoll: time.Second, Revocations: w.room}); err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan struct{})
	w.managers.join(looks)
	w.stopManager = func() {
		stop()
		<-done
		w.managers.leave(looks)
	}
	go func() {
		defer close(done)
		defer stop()
		if err := mgr.Start(ctx); err != nil {
			w.Errorf("the manager ended: %v", err)
		}
	}()
	w.ends = append(w.ends, done)
}

// countWrites counts the requests that change something, Events aside.
type countWrites struct {
	next   http.RoundTripper
	writes *atomic.Int64
}

func (c countWrites) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}

// declare creates what a platform engineer applies. Each object can be changed first.
func (w *world) declare(change ...func(*keyturnv1alpha1.SigningKeySet, *keyturnv1alpha1.TokenPolicy, *keyturnv1alpha1.TokenService)) {
	w.Helper()
	set, policy, service := w.newSet(), w.newPolicy(), w.newService()
	for _, c := range change {
		c(set, policy, service)
	}
	w.create(set)
	w.create(policy)
	w.create(w.newUsers())
	w.create(service)
}

func (w *world) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.ns, Name: name}
}

func (w *world) newSet() *keyturnv1alpha1.SigningKeySet {
	return &keyturnv1alpha1.SigningKeySet{ObjectMeta: w.meta(setName), Spec: keyturnv1alpha1.SigningKeySetSpec{Algorithm: keyturnv1alpha1.ES256}}
}

func (w *world) newPolicy() *keyturnv1alpha1.TokenPolicy {
	return &keyturnv1alpha1.TokenPolicy{ObjectMeta: w.meta(policyName), Spec: keyturnv1alpha1.TokenPolicySpec{
		AccessToken: keyturnv1alpha1.AccessTokenSpec{TTL: metav1.Duration{Duration: 15 * time.Minute}, Audiences: []string{"https://api.example.com"}},
	}}
}

func (w *world) newService() *keyturnv1alpha1.TokenService {
	return &keyturnv1alpha1.TokenService{ObjectMeta: w.meta(serviceName), Spec: keyturnv1alpha1.TokenServiceSpec{
		Issuer:           "https://auth.example.com",
		SigningKeySetRef: keyturnv1alpha1.SigningKeySetReference{Name: setName},
		TokenPolicyRef:   keyturnv1alpha1.TokenPolicyReference{Name: policyName},
		Identity: []keyturnv1alpha1.IdentitySource{{
			Name: "staff", HTPasswd: &keyturnv1alpha1.HTPasswdSource{SecretRef: keyturnv1alpha1.SecretReference{Name: usersName}},
		}},
		TrustedProxies: []string{"10.0.0.0/8"},
	}}
}

func (w *world) newUsers() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: w.meta(usersName), Data: map[string][]byte{"htpasswd": []byte("alice:" + usersHash + "\n")}}
}

func (w *world) create(object client.Object) {
	w.Helper()
	if err := admin.Create(w.ctx, object); err != nil {
		w.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func (w *world) remove(object client.Object) {
	w.Helper()
	if err := admin.Delete(w.ctx, object); err != nil {
		w.Fatalf("delete %T %s: %v", object, object.GetName(), err)
	}
}

// edit reads an object, changes it and writes it, as kubectl edit does.
func edit[T client.Object](w *world, object T, change func(T)) {
	w.Helper()
	for {
		if err := admin.Get(w.ctx, client.ObjectKeyFromObject(object), object); err != nil {
			w.Fatalf("read %T %s: %v", object, object.GetName(), err)
		}
		change(object)
		err := admin.Update(w.ctx, object)
		if err == nil {
			return
		}
		if !isConflict(err) {
			w.Fatalf("edit %T %s: %v", object, object.GetName(), err)
		}
	}
}

// get reads an object live. It returns false if there is none.
func (w *world) get(object client.Object, name string) bool {
	w.Helper()
	err := admin.Get(w.ctx, client.ObjectKey{Namespace: w.ns, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		w.Fatalf("read %T %s: %v", object, name, err)
	}
	return err == nil
}

// eventually waits until check has nothing to object.
func (w *world) eventually(what string, check func() string) {
	w.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		objection := check()
		if objection == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("%s: %s\n%s", what, objection, w.describe())
		}
	}
}

// describe shows the state of the world when a test has failed.
func (w *world) describe() string {
	set, service := w.set(), w.service()
	out := fmt.Sprintf("set: next %q, %+v\n", set.Status.Next, set.Status.Propagation)
	for _, k := range set.Status.Keys {
		out += fmt.Sprintf("  key %s %d %s\n", short(k.Kid), k.Sequence, k.State)
	}
	for _, c := range append(set.Status.Conditions, service.Status.Conditions...) {
		out += fmt.Sprintf("  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return out + w.fleet.describe()
}
