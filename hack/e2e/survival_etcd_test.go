package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/stage"
)

// managerPods are those of the operator.
var managerPods = client.MatchingLabels{keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentManager}

// TestRestoredEtcd puts the whole cluster back to before two rotations. Every token that was signed since goes on being accepted,
// sessions refresh, and a key that nobody had before signs.
func TestRestoredEtcd(t *testing.T) {
	fast(t)
	eventually(t, inOrder)
	data, saved := filepath.Join(theStage.Cluster.Dir(), "etcd"), filepath.Join(t.TempDir(), "etcd")
	known := liveRing(t)
	withoutEtcd(t, func() error { return os.CopyFS(saved, os.DirFS(data)) })
	awaitManager(t, time.Now()) // all that can be read may still be from before
	settle(t, inOrder)

	user := theStage.User()
	tokens := []stage.Tokens{login(t, user, alice, alicePassword)}
	for range 2 {
		if _, _, err := theStage.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, login(t, user, alice, alicePassword))
	}
	eventually(t, inOrder)
	before := liveRing(t)
	if known.Key(before.Active().KID) != nil {
		t.Fatal("the backup knows the key that signs")
	}
	load := must[*stage.Load](t)(theStage.StartLoad(t.Context(), 2, bob, bobPassword, time.Hour))
	defer load.Stop()
	withoutEtcd(t, func() error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return os.CopyFS(data, os.DirFS(saved))
	})
	kill(t, "keyturn-system", managerPods)
	settle(t, func(ctx context.Context) (string, error) {
		ring, ok := tryRing(ctx)
		if !ok || ring.Active() == nil || ring.Epoch <= before.Epoch {
			return "the restore has not been noticed", nil
		}
		if kid := ring.Active().KID; known.Key(kid) != nil || before.Key(kid) != nil {
			return "an old key signs again", nil
		}
		set, err := theStage.KeySet(ctx)
		if err != nil {
			return "", err
		}
		if !meta.IsStatusConditionTrue(set.Status.Conditions, keyturnv1alpha1.ConditionRestoreDetected) {
			return "the status does not tell of the restore", nil
		}
		return inOrder(ctx)
	})
	load.Stop()
	if load.Refused.Load() > 0 {
		t.Errorf("%d of %d calls refused; the first: %s", load.Refused.Load(), load.Sent.Load(), load.FirstRefusal())
	}
	for i, old := range tokens {
		answer, err := user.CallAs(t.Context(), "/orders", old.Access)
		wantAnswer(t, fmt.Sprintf("a token from before, number %d", i), answer, err, http.StatusOK, "")
		fresh, answer, err := user.Refresh(t.Context(), old.Refresh)
		wantAnswer(t, fmt.Sprintf("a session from before, number %d", i), answer, err, http.StatusOK, "")
		remember(fresh)
	}
}

// awaitManager waits until a manager holds the lease at some time after an instant: one that could not reach the API server
// has ended, and the next waits for the lease.
func awaitManager(t *testing.T, since time.Time) {
	t.Helper()
	settle(t, func(ctx context.Context) (string, error) {
		var lease coordinationv1.Lease
		if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: "keyturn-system", Name: "manager.keyturn.dev"}, &lease); err != nil {
			return "", err
		}
		if s := &lease.Spec; s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || !s.RenewTime.After(since) {
			return fmt.Sprintf("no manager leads since %s: %+v", since, lease.Spec), nil
		}
		return "", nil
	})
}

// withoutEtcd does something to the data of etcd, which is stopped with everything that talks to it, and starts all again.
func withoutEtcd(t *testing.T, do func() error) {
	t.Helper()
	programs := []string{binaries.ControllerManager, binaries.APIServer, binaries.Etcd}
	for _, name := range programs {
		if err := theStage.Cluster.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	err := do()
	for i := range programs {
		if err := theStage.Cluster.Restart(context.WithoutCancel(t.Context()), programs[len(programs)-1-i]); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
