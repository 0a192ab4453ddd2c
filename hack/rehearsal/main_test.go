//go:build realnode && linux

package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/keyturn/keyturn/hack/cluster/node"
	"github.com/keyturn/keyturn/hack/cluster/node/trace"
	"github.com/keyturn/keyturn/hack/stage"
)

// theStage is what all steps stand on.
var theStage *stage.Stage

// figures collects what is printed at the end.
var figures struct {
	mu   sync.Mutex
	rows [][2]string
}

func figure(what, format string, args ...any) {
	figures.mu.Lock()
	defer figures.mu.Unlock()
	figures.rows = append(figures.rows, [2]string{what, fmt.Sprintf(format, args...)})
}

func printFigures() {
	out := tabwriter.NewWriter(os.Stderr, 0, 0, 3, ' ', 0)
	fmt.Fprintln(out, "\nFIGURE\tVALUE")
	for _, row := range figures.rows {
		fmt.Fprintf(out, "%s\t%s\n", row[0], row[1])
	}
	_ = out.Flush()
}

func TestMain(m *testing.M) {
	if task := os.Getenv("REHEARSAL_HOG"); task != "" {
		os.Exit(hog(task))
	}
	if err := node.Check(); err != nil {
		fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: %v ***\n(REQUIRE_E2E=1 makes this a failure)\n\n", err)
		if os.Getenv("REQUIRE_E2E") == "1" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := run(m); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(m *testing.M) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if err := node.Install(ctx, os.Stderr); err != nil {
		return err
	}
	before, err := trace.Take()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "keyturn-rehearsal-")
	if err != nil {
		return err
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	began := time.Now()
	theStage, err = stage.Set(ctx, stage.Options{
		Root: root, Dir: dir, Real: true, Progress: os.Stderr, Log: os.Stderr,
		// Ten logins a minute from one address are for people; the tests are one address and many users.
		Samples: func(manifests string) string { return strings.ReplaceAll(manifests, "limit: 10\n", "limit: 10000\n") },
	})
	if err != nil {
		return fmt.Errorf("setting the stage: %w\nlogs are in %s", err, dir)
	}
	figure("from nothing to a user who can log in", "%.1f s", time.Since(began).Seconds())
	if m.Run() != 0 {
		err = fmt.Errorf("some steps failed; logs are in %s", dir)
	}
	began = time.Now()
	err = errors.Join(err, theStage.Strike())
	figure("everything taken down", "%.1f s", time.Since(began).Seconds())
	if err == nil {
		err = os.RemoveAll(dir)
	}
	printFigures()
	return errors.Join(err, nothingSince(before))
}

// nothingSince waits a moment for the kernel and then names what the node has left on the machine.
func nothingSince(before trace.State) error {
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(100 * time.Millisecond) {
		now, err := trace.Take()
		if err != nil {
			return err
		}
		left := now.Since(before)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("left behind on this machine:\n%s", strings.Join(left, "\n"))
		}
	}
}

const (
	alice         = "alice"
	alicePassword = "sample-password-alice"
	bob           = "bob"
	bobPassword   = "sample-password-bob"
)

// TestRehearsal plays the steps in order. Each leaves the stage as it found it, so one that fails does not end the rest.
func TestRehearsal(t *testing.T) {
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"journey", testJourney},
		{"mounts", testMounts},
		{"rotation", testRotation},
		{"revocation", testRevocation},
		{"rollout", testRollout},
		{"connections and NetworkPolicies", testFlows},
		{"edge restarted", testEdgeRestart},
		{"manager restarted", testManagerRestart},
		{"token service restarted", testTokenServiceRestart},
		{"edge killed", testEdgeKilled},
		{"edge out of memory", testEdgeOutOfMemory},
		{"node drained", testDrain},
		{"chart upgraded", testUpgrade},
		{"journey again", testJourney},
		{"chart uninstalled", testUninstall},
	} {
		t.Run(step.name, step.run)
	}
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := theStage.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rollOut restarts a workload of the namespace as kubectl does, waits until it is done and says how long it took.
func rollOut(t *testing.T, namespace, workload string) time.Duration {
	t.Helper()
	began := time.Now()
	kubectl(t, "rollout", "restart", "-n", namespace, workload)
	kubectl(t, "rollout", "status", "-n", namespace, workload, "--timeout=120s")
	return time.Since(began)
}

func await(t *testing.T, what string, limit time.Duration, probe func(context.Context) (waitingFor string, err error)) {
	t.Helper()
	if err := theStage.Await(t.Context(), limit, probe); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
