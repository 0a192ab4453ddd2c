//go:build realnode && linux

package rehearsal

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
)

const (
	edge         = "deployment/" + stage.Service + "-extauthz"
	tokenService = "statefulset/" + stage.Service + "-tokenservice"
)

// edges lists the pods of the edge that are not on their way out.
func edges(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := theStage.Client.List(ctx, &list, client.InNamespace(stage.Namespace), client.MatchingLabels{
		keyturnv1alpha1.LabelTokenService: stage.Service, keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentEdge,
	})
	var alive []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			alive = append(alive, pod)
		}
	}
	return alive, err
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// bothEdges waits until two edges are ready and returns them.
func bothEdges(t *testing.T) []corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	await(t, "two edges are ready", time.Minute, func(ctx context.Context) (string, error) {
		pods, err := edges(ctx)
		if err != nil || len(pods) != 2 || !isReady(&pods[0]) || !isReady(&pods[1]) {
			return fmt.Sprintf("%d pods", len(pods)), err
		}
		found = pods
		return "", nil
	})
	return found
}

func testEdgeRestart(t *testing.T) {
	bothEdges(t)
	stop, knocking := load(t, time.Second), knock(t)
	var took time.Duration
	for range rounds() {
		took = rollOut(t, stage.Namespace, edge)
		settle(t)
	}
	l := stop()
	figure(fmt.Sprintf("rolling restart of two edges, %d times", rounds()), "%.1f s each; %s; %s", took.Seconds(), sum(l), knocking.stop(t))
	wantNoneRefused(t, l)
}

// rounds is how often a thing is done that must never go wrong.
func rounds() int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return 10
	}
	return 1
}

// settle waits until pods that are on their way out are gone: what they answer last counts too.
func settle(t *testing.T) {
	t.Helper()
	await(t, "old pods are gone", time.Minute, func(ctx context.Context) (string, error) {
		var list corev1.PodList
		if err := theStage.Client.List(ctx, &list, client.HasLabels{keyturnv1alpha1.LabelComponent}); err != nil {
			return "", err
		}
		for _, pod := range list.Items {
			if pod.DeletionTimestamp != nil {
				return pod.Name, nil
			}
		}
		return "", nil
	})
}

func testManagerRestart(t *testing.T) {
	stop := load(t, time.Second)
	var took time.Duration
	for range rounds() {
		took = rollOut(t, "keyturn-system", "deployment/keyturn-manager")
		settle(t)
	}
	l := stop()
	figure(fmt.Sprintf("rolling restart of the manager, %d times", rounds()), "%.1f s each; %s", took.Seconds(), sum(l))
	wantNoneRefused(t, l)
}

// testTokenServiceRestart replaces the only token service: verification goes on, logins wait for a few seconds.
func testTokenServiceRestart(t *testing.T) {
	stop := load(t, never)
	user := theStage.User()
	logins := watchGaps(t.Context(), 100*time.Millisecond, func(ctx context.Context) (stage.Answer, error) {
		// Not the user of the load: the twenty-first login of a user ends the first.
		_, answer, err := user.Login(ctx, alice, alicePassword)
		return answer, err
	})
	took := rollOut(t, stage.Namespace, tokenService)
	logins.again(t)
	logins.stop()
	l := stop()
	figure("restart of the token service: verification", "%.1f s; %s", took.Seconds(), sum(l))
	figure("restart of the token service: login", "%s", logins)
	wantNoneRefused(t, l)
	if logins.good < 3 || logins.longest > 10*time.Second {
		t.Errorf("logins: %s; the first failure: %s", logins, logins.firstBad)
	}
}
