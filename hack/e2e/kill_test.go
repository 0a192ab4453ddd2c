package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
)

// victims are the three programs and where their pods are.
var victims = []struct {
	name, namespace string
	labels          client.MatchingLabels
}{
	{"tokenservice", stage.Namespace, client.MatchingLabels{keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentTokenService}},
	{"extauthz", stage.Namespace, client.MatchingLabels{keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentEdge}},
	{"manager", "keyturn-system", client.MatchingLabels{keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentManager}},
}

// TestKill sends SIGKILL to each program while sessions live: none is lost, and no logout that was answered comes
// undone.
func TestKill(t *testing.T) {
	rounds := 2
	if os.Getenv("KEYTURN_SOAK") == "1" {
		rounds = 20
	}
	for _, victim := range victims {
		t.Run(victim.name, func(t *testing.T) {
			for range rounds {
				killRound(t, victim.namespace, victim.labels)
			}
		})
	}
}

func killRound(t *testing.T, namespace string, labels client.MatchingLabels) {
	t.Helper()
	user := theStage.User()
	propagating(t, user) // the round before has killed somebody, too
	alive, ended := login(t, user, alice, alicePassword), login(t, user, bob, bobPassword)
	answer, err := user.Logout(t.Context(), ended.Refresh)
	wantAnswer(t, "logout", answer, err, http.StatusOK, "")
	if !propagated(answer) {
		t.Fatalf("the logout says %s", answer.Body)
	}
	kill(t, namespace, labels)

	// From the first instant on, whatever is up refuses what was revoked.
	for range 10 {
		answer, err = user.CallAs(t.Context(), "/orders", ended.Access)
		if err != nil || answer.Status == http.StatusOK {
			t.Fatalf("right after the kill a revoked token gets %d (error %v)", answer.Status, err)
		}
	}
	eventually(t, func(ctx context.Context) (string, error) {
		answer, err := user.CallAs(ctx, "/orders", alive.Access)
		if err != nil || answer.Status != http.StatusOK {
			return fmt.Sprintf("the living session's call: %d %s", answer.Status, answer.Code()), err
		}
		answer, err = user.CallAs(ctx, "/orders", ended.Access)
		if err != nil || answer.Code() != "revoked" {
			return fmt.Sprintf("the ended session's call: %d %s", answer.Status, answer.Code()), err
		}
		return "", nil
	})
	eventually(t, func(ctx context.Context) (string, error) {
		next, answer, err := user.Refresh(ctx, alive.Refresh)
		if err != nil || answer.Status != http.StatusOK {
			return fmt.Sprintf("the living session's refresh: %d %s", answer.Status, answer.Code()), err
		}
		remember(next)
		return "", nil
	})
	_, answer, err = user.Refresh(t.Context(), ended.Refresh)
	if err != nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("refresh of the ended session: %d %s (error %v)", answer.Status, answer.Code(), err)
	}
	if _, err := theStage.Kubectl(t.Context(), "wait", "-n", stage.Namespace, "--for=condition=Ready", "--timeout=60s", "tokenservice/"+stage.Service); err != nil {
		t.Error(err)
	}
}

// kill sends SIGKILL to every process of the pods with these labels. One that has just ended of its own accord, as a manager
// does that lost its lease, is waited for: it starts again.
func kill(t *testing.T, namespace string, labels client.MatchingLabels) {
	t.Helper()
	eventually(t, func(ctx context.Context) (string, error) {
		var pods corev1.PodList
		if err := theStage.Client.List(ctx, &pods, client.InNamespace(namespace), labels); err != nil {
			return "", err
		}
		killed := 0
		for i := range pods.Items {
			for _, pid := range theStage.Cluster.Agent().PodPids(namespace, pods.Items[i].Name) {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					killed++
				}
			}
		}
		if killed == 0 {
			return fmt.Sprintf("no process with the labels %v to kill", labels), nil
		}
		return "", nil
	})
}

// answered asks until somebody answers: where a process had died, or a store, those in front of it notice one after the
// other that it is back. Only the answers that nobody decided are asked for again.
func answered(t *testing.T, ask func(context.Context) (stage.Answer, error)) (answer stage.Answer) {
	t.Helper()
	eventually(t, func(ctx context.Context) (_ string, err error) {
		if answer, err = ask(ctx); err == nil && answer.Status >= http.StatusInternalServerError {
			return fmt.Sprintf("%d %s", answer.Status, answer.Code()), nil
		}
		return "", err
	})
	return answer
}

func eventually(t *testing.T, probe func(context.Context) (string, error)) {
	t.Helper()
	if err := theStage.Await(t.Context(), 2*time.Minute, probe); err != nil { // a manager that was killed takes half a minute to lead again
		t.Fatal(err)
	}
}
