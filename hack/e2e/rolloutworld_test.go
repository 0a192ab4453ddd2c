package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/hack/stage"
)

const (
	rolloutSalt  = "e2e-2026"
	legacySecret = "the-secret-that-signs-cookies"
	legacyToken  = "the-token-for-the-old-application"
)

// rolloutWorld is a legacy application on a Redis of its own, and a TokenService in a namespace of its own that moves its
// users.
type rolloutWorld struct {
	*testing.T
	namespace string
	app       *legacyapp.Application
	front     *stage.Front
	fleet     *fleet
	// sessions is the application's store. store is the token service's where it has one on the network.
	sessions, store *redis.Server
	// lateSession is the session of somebody who never exchanges.
	lateSession string
}

// rolloutPlan is what differs between rollouts.
type rolloutPlan struct {
	namespace string
	users     []legacyapp.User
	steps     string // YAML; empty: 10 % and 50 % with approval, 100 %
	pace      pace
	shared    bool // the token service's store is a Redis
}

const stepsWithApproval = `
  - {percent: 10, bake: 1s, approval: Manual}
  - {percent: 50, bake: 1s, approval: Manual}
  - {percent: 100, bake: 1s}
`

// newRolloutWorld sets everything up but the fleet.
func newRolloutWorld(t *testing.T, plan rolloutPlan) *rolloutWorld {
	t.Helper()
	program := must[redis.Program](t)(redis.Find(t.Context(), os.Stderr))
	w := &rolloutWorld{T: t, namespace: plan.namespace}
	w.sessions = must[*redis.Server](t)(program.Start(t.Context(), t.TempDir(), redis.Options{}))
	t.Cleanup(w.sessions.Stop)
	w.app = must[*legacyapp.Application](t)(legacyapp.Start("", legacyapp.Options{
		Redis: w.sessions.Address(), Secret: legacySecret, Token: legacyToken, Life: time.Hour, Users: plan.users,
	}))
	t.Cleanup(w.app.Stop)
	secretsSeen.add("secret of the old application", legacySecret)
	secretsSeen.add("token for the old application", legacyToken)
	if plan.shared {
		w.store = must[*redis.Server](t)(program.Start(t.Context(), t.TempDir(), redis.Options{
			Directives: append([]string{"requirepass " + storePassword}, redis.Durable...),
		}))
		t.Cleanup(w.store.Stop)
		secretsSeen.add("password of the store", storePassword)
	}
	must[string](t)(theStage.Apply(t.Context(), w.manifests(plan)))
	t.Cleanup(w.remove)
	if _, err := theStage.Kubectl(t.Context(), "wait", "-n", w.namespace, "--for=condition=Ready", "--timeout=180s", "tokenservice/"+stage.Service, "aro/web"); err != nil {
		state, _ := theStage.Kubectl(t.Context(), "get", "-n", w.namespace, "sks,tpol,tsvc,aro,deploy,pods,events", "-o", "wide")
		t.Fatalf("%v\n%s", err, state)
	}
	w.front = must[*stage.Front](t)(theStage.StartPagesFront(t.Context(), w.namespace, stage.Service))
	t.Cleanup(w.front.Stop)
	awaitFront(t, w.front)
	return w
}

// manifests are the samples and a rollout. Keys are of the kind that signs with the least work, and tokens live shortly.
func (w *rolloutWorld) manifests(plan rolloutPlan) string {
	w.Helper()
	manifests := must[string](w.T)(theStage.Kubectl(w.Context(), "kustomize", "config/samples"))
	edits := [][2]string{
		{"namespace: " + stage.Namespace, "namespace: " + w.namespace},
		{"name: " + stage.Namespace + "\n", "name: " + w.namespace + "\n"},
		{"algorithm: RS256\n", "algorithm: ES256\n"},
		{"  rsaBits: 2048\n", ""},
		{"limit: 10\n", "limit: 10000\n"},
		{"    ttl: 15m\n", "    ttl: 1m\n"},
		{"  login:\n", "  cookies:\n    mode: Optional\n  login:\n"},
	}
	secrets := ""
	if plan.shared {
		edits = append(edits, [2]string{"    embedded:\n      size: 1Gi\n", "    redis:\n      addresses:\n      - " + w.store.Address() + "\n      secretRef:\n        name: sessions\n"})
		secrets = "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: sessions, namespace: " + w.namespace + "}\nstringData: {password: " + storePassword + "}\n"
	}
	for _, edit := range edits {
		if !strings.Contains(manifests, edit[0]) {
			w.Fatalf("the samples have no %q: bring this test along", edit[0])
		}
		manifests = strings.ReplaceAll(manifests, edit[0], edit[1])
	}
	return manifests + secrets + "\n---\n" + strings.NewReplacer("NAMESPACE", w.namespace, "APP", w.app.URL(), "TOKEN", legacyToken,
		"SALT", rolloutSalt, "STEPS", cmp.Or(plan.steps, stepsWithApproval)).Replace(rolloutManifests)
}

// remove leaves the stage as it was.
func (w *rolloutWorld) remove() {
	if _, err := theStage.Kubectl(context.Background(), "annotate", "-n", w.namespace, "aro/web", keyturnv1alpha1.AnnotationEndSessions+"=true"); err != nil {
		w.Error(err)
	}
	if _, err := theStage.Kubectl(context.Background(), "delete", "namespace", w.namespace, "--wait=false"); err != nil {
		w.Error(err)
	}
}

// launch logs everybody in at the application.
func (w *rolloutWorld) launch(plan rolloutPlan) {
	w.Helper()
	w.fleet, w.lateSession = newFleet(w.T, w.front, w.app, plan.users, plan.pace)
}

// rolloutManifests begin held at 0 %: the test says when it goes on.
const rolloutManifests = `apiVersion: v1
kind: Secret
metadata: {name: legacy-sessions, namespace: NAMESPACE}
stringData: {token: TOKEN}
---
apiVersion: keyturn.dev/v1alpha1
kind: AuthRollout
metadata:
  name: web
  namespace: NAMESPACE
  annotations: {keyturn.dev/rollout-command: "begin hold"}
spec:
  tokenServiceRef: {name: web}
  legacy:
    cookieName: connect.sid
    validator: {http: {url: "APP/legacy/introspect", secretRef: {name: legacy-sessions}}}
    issuer: {url: "APP/legacy/sessions", secretRef: {name: legacy-sessions}}
    revoker: {http: {url: "APP/legacy/revoke", secretRef: {name: legacy-sessions}}}
  bucketing: {salt: SALT}
  steps:STEPS  guard: {interval: 10s, minSamples: 100}
  rollback: {cooldown: 0s}
  dualIssue: true
`

func (w *rolloutWorld) get(ctx context.Context) (*keyturnv1alpha1.AuthRollout, error) {
	var aro keyturnv1alpha1.AuthRollout
	err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "web"}, &aro)
	return &aro, err
}

// command says it as people do.
func (w *rolloutWorld) command(action string) {
	w.Helper()
	must[string](w.T)(theStage.Plugin(w.Context(), "rollout", action, "web", "-n", w.namespace))
}

// inForce waits until every replica works with a percentage.
func (w *rolloutWorld) inForce(percent int32) {
	w.Helper()
	begun := time.Now()
	w.eventually(func(ctx context.Context) (string, error) {
		aro, err := w.get(ctx)
		if err != nil {
			return "", err
		}
		s := &aro.Status
		if s.Percent == nil || *s.Percent != percent || !meta.IsStatusConditionTrue(s.Conditions, keyturnv1alpha1.ConditionInForce) {
			return fmt.Sprintf("%v%% on %s, waiting for %v; guard %s, next %s, refused %q", value(s.Percent), s.Replicas, s.WaitingFor, s.Guard.Summary, s.Next, s.RefusedCommand), nil
		}
		return "", nil
	})
	w.Logf("%d%% is in force on every replica %s later", percent, time.Since(begun).Round(10*time.Millisecond))
}

// eventually is patient: these tests share a machine with each other.
func (w *rolloutWorld) eventually(probe func(context.Context) (string, error)) {
	w.Helper()
	if err := theStage.Await(w.Context(), 3*time.Minute, probe); err != nil {
		if w.fleet != nil {
			w.Log(w.fleet)
		}
		w.Fatal(err)
	}
}

func value(p *int32) int32 {
	if p == nil {
		return -1
	}
	return *p
}

// round tells everybody who is not late to begin anew, and waits until each of them has and made a call that worked. In an
// expiring round their access tokens are over.
func (w *rolloutWorld) round(expiring bool) {
	w.Helper()
	begun, round := time.Now(), w.fleet.anew(expiring)
	err := theStage.Await(w.Context(), 2*time.Minute+10*w.fleet.call, func(context.Context) (string, error) {
		for _, c := range w.fleet.clients {
			if !c.late && !c.out.Load() && c.round.Load() < round {
				return fmt.Sprintf("%s, kind %d, has not begun anew", c.user, c.kind), nil
			}
		}
		return "", nil
	})
	if err != nil {
		w.Fatalf("%v; %s", err, w.fleet)
	}
	if took := time.Since(begun); took > 10*time.Second {
		w.Logf("it took %s until everybody had begun anew", took.Round(time.Second))
	}
}
