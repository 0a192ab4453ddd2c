package e2e

import (
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
	rolloutNamespace = "rollout"
	rolloutSalt      = "e2e-2026"
	legacySecret     = "the-secret-that-signs-cookies"
	legacyToken      = "the-token-for-the-old-application"
)

// rolloutWorld is a legacy application on a Redis of its own, and a TokenService that moves its users.
type rolloutWorld struct {
	*testing.T
	app   *legacyapp.Application
	front *stage.Front
	fleet *fleet
	// lateSession is the session of somebody who never exchanges.
	lateSession string
}

func newRolloutWorld(t *testing.T, users []legacyapp.User) *rolloutWorld {
	t.Helper()
	program := must[redis.Program](t)(redis.Find(t.Context(), os.Stderr))
	server := must[*redis.Server](t)(program.Start(t.Context(), t.TempDir(), redis.Options{}))
	t.Cleanup(server.Stop)
	app := must[*legacyapp.Application](t)(legacyapp.Start("", legacyapp.Options{
		Redis: server.Address(), Secret: legacySecret, Token: legacyToken, Life: time.Hour, Users: users,
	}))
	t.Cleanup(app.Stop)
	secretsSeen.add("secret of the old application", legacySecret)
	secretsSeen.add("token for the old application", legacyToken)

	manifests := must[string](t)(theStage.Kubectl(t.Context(), "kustomize", "config/samples"))
	for _, edit := range [][2]string{
		{"namespace: " + stage.Namespace, "namespace: " + rolloutNamespace},
		{"name: " + stage.Namespace + "\n", "name: " + rolloutNamespace + "\n"},
		{"limit: 10\n", "limit: 10000\n"},
		{"    ttl: 15m\n", "    ttl: 1m\n"},
		{"  login:\n", "  cookies:\n    mode: Optional\n  login:\n"},
	} {
		if !strings.Contains(manifests, edit[0]) {
			t.Fatalf("the samples have no %q: bring this test along", edit[0])
		}
		manifests = strings.ReplaceAll(manifests, edit[0], edit[1])
	}
	manifests += "\n---\n" + strings.NewReplacer("NAMESPACE", rolloutNamespace, "APP", app.URL(), "TOKEN", legacyToken, "SALT", rolloutSalt).Replace(rolloutManifests)
	must[string](t)(theStage.Apply(t.Context(), manifests))
	t.Cleanup(func() {
		_, err := theStage.Kubectl(context.Background(), "annotate", "-n", rolloutNamespace, "aro/web", keyturnv1alpha1.AnnotationEndSessions+"=true")
		if err != nil {
			t.Error(err)
		}
		if _, err := theStage.Kubectl(context.Background(), "delete", "namespace", rolloutNamespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	w := &rolloutWorld{T: t, app: app}
	if _, err := theStage.Kubectl(t.Context(), "wait", "-n", rolloutNamespace, "--for=condition=Ready", "--timeout=110s", "tokenservice/"+stage.Service, "aro/web"); err != nil {
		state, _ := theStage.Kubectl(t.Context(), "get", "-n", rolloutNamespace, "sks,tpol,tsvc,aro,deploy,pods,events", "-o", "wide")
		t.Fatalf("%v\n%s", err, state)
	}
	w.front = must[*stage.Front](t)(theStage.StartPagesFront(t.Context(), rolloutNamespace, stage.Service))
	t.Cleanup(w.front.Stop)
	return w
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
  steps:
  - {percent: 10, bake: 1s, approval: Manual}
  - {percent: 50, bake: 1s, approval: Manual}
  - {percent: 100, bake: 1s}
  guard: {interval: 10s, minSamples: 100}
  rollback: {cooldown: 0s}
  dualIssue: true
`

func (w *rolloutWorld) get(ctx context.Context) (*keyturnv1alpha1.AuthRollout, error) {
	var aro keyturnv1alpha1.AuthRollout
	err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: rolloutNamespace, Name: "web"}, &aro)
	return &aro, err
}

// command says it as people do.
func (w *rolloutWorld) command(action string) {
	w.Helper()
	must[string](w.T)(theStage.Plugin(w.Context(), "rollout", action, "web", "-n", rolloutNamespace))
}

// inForce waits until every replica works with a percentage.
func (w *rolloutWorld) inForce(percent int32) {
	w.Helper()
	begun := time.Now()
	eventually(w.T, func(ctx context.Context) (string, error) {
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

func value(p *int32) int32 {
	if p == nil {
		return -1
	}
	return *p
}

// openings waits until every client that is not late began anew so many times.
func (w *rolloutWorld) openings(n int64) {
	w.Helper()
	want := map[*caller]int64{}
	for _, c := range w.fleet.clients {
		if !c.late {
			want[c] = c.opened.Load() + n
		}
	}
	err := theStage.Await(w.Context(), time.Minute+3*time.Duration(n)*w.fleet.every, func(context.Context) (string, error) {
		for c, least := range want {
			if c.opened.Load() < least && !c.out.Load() {
				return fmt.Sprintf("%s, kind %d, began %d times, want %d", c.user, c.kind, c.opened.Load(), least), nil
			}
		}
		return "", nil
	})
	if err != nil {
		w.Fatal(err)
	}
}
