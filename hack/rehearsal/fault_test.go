//go:build realnode && linux

package rehearsal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/cluster/node"
	"github.com/keyturn/keyturn/hack/stage"
)

// processOf finds the process of a pod's container on this machine, and the lines of its /proc/<pid>/cgroup.
func processOf(t *testing.T, pod *corev1.Pod, program string) (pid int, cgroups []string) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range found {
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if strings.Contains(string(groups), string(pod.UID)) && strings.HasPrefix(string(cmdline), program+"\x00") {
			if pid, err = strconv.Atoi(filepath.Base(dir)); err != nil {
				t.Fatal(err)
			}
			return pid, strings.Split(strings.TrimSpace(string(groups)), "\n")
		}
	}
	t.Fatalf("no process %s of pod %s", program, pod.Name)
	return 0, nil
}

// restarted waits until the pod's container runs again and is ready, and tells how the one before ended.
func restarted(t *testing.T, pod *corev1.Pod) corev1.ContainerStateTerminated {
	t.Helper()
	before := pod.Status.ContainerStatuses[0].RestartCount
	var last corev1.ContainerStateTerminated
	await(t, pod.Name+" is ready again", time.Minute, func(ctx context.Context) (string, error) {
		var now corev1.Pod
		if err := theStage.Client.Get(ctx, client.ObjectKeyFromObject(pod), &now); err != nil {
			return "", err
		}
		status := now.Status.ContainerStatuses[0]
		if status.RestartCount <= before || !isReady(&now) || status.LastTerminationState.Terminated == nil {
			return fmt.Sprintf("restarts: %d, ready: %v", status.RestartCount, isReady(&now)), nil
		}
		last = *status.LastTerminationState.Terminated
		return "", nil
	})
	return last
}

// testEdgeKilled kills the process of one of two edges without a warning. Checks under way are lost and new ones meet
// a closed port until the kubelet has noticed: a few fail, and it is over in seconds.
func testEdgeKilled(t *testing.T) {
	pod := bothEdges(t)[0]
	pid, _ := processOf(t, &pod, "/extauthz")
	stop := load(t, never)
	answers := watchCalls(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	last := restarted(t, &pod)
	answers.again(t)
	answers.stop()
	l := stop()
	figure("edge killed: back and ready", "%.1f s", time.Since(last.FinishedAt.Time).Seconds())
	figure("edge killed: calls meanwhile", "%s; %s", sum(l), answers)
	wantFewRefused(t, l, answers)
	if last.ExitCode != 137 {
		t.Errorf("it ended with %+v", last)
	}
}

func watchCalls(t *testing.T) *gaps {
	t.Helper()
	user := theStage.User()
	tokens, answer, err := user.Login(t.Context(), alice, alicePassword)
	wantAnswer(t, "login", answer, err, 200, "")
	return watchGaps(t.Context(), 20*time.Millisecond, func(ctx context.Context) (stage.Answer, error) {
		return user.CallAs(ctx, "/orders", tokens.Access)
	})
}

// wantFewRefused is what can be asked when a replica dies: the other one serves, so that there is no outage, and what
// fails is a 503 that tells so, never a 401.
func wantFewRefused(t *testing.T, l *stage.Load, calls *gaps) {
	t.Helper()
	if share := float64(l.Refused.Load()) / float64(l.Sent.Load()); share > 0.2 {
		t.Errorf("%s; the first: %s", sum(l), l.FirstRefusal())
	}
	for _, first := range []string{l.FirstRefusal(), calls.firstBad} {
		if first != "" && !strings.Contains(first, "status 503") {
			t.Errorf("refused with: %s", first)
		}
	}
	if calls.longest > 3*time.Second {
		t.Errorf("calls: %s", calls)
	}
}

// testEdgeOutOfMemory lets the kernel kill an edge for its memory limit.
func testEdgeOutOfMemory(t *testing.T) {
	pod := bothEdges(t)[1] // the other one was killed a moment ago: its next restart would be held back
	pid, groups := processOf(t, &pod, "/extauthz")
	stop := load(t, never)
	answers := watchCalls(t)
	starve(t, pid, memoryGroup(groups))
	last := restarted(t, &pod)
	answers.again(t)
	answers.stop()
	l := stop()
	figure("edge out of memory: back and ready", "%.1f s (%s)", time.Since(last.FinishedAt.Time).Seconds(), last.Reason)
	figure("edge out of memory: calls meanwhile", "%s; %s", sum(l), answers)
	wantFewRefused(t, l, answers)
	if last.Reason != "OOMKilled" {
		t.Errorf("it ended with %+v", last)
	}
}

// starve takes the memory of a cgroup until a process in it is killed for it. The kernel may take the glutton first,
// which it then tries again.
func starve(t *testing.T, pid int, group string) {
	t.Helper()
	var out []byte
	for range 5 {
		glutton := exec.Command(os.Args[0])
		glutton.Env = append(os.Environ(), fmt.Sprintf("REHEARSAL_HOG=%d %s", pid, group))
		out, _ = glutton.CombinedOutput()
		dead := theStage.Await(t.Context(), 2*time.Second, func(context.Context) (string, error) {
			if syscall.Kill(pid, 0) == nil {
				return "the process lives", nil
			}
			return "", nil
		})
		if dead == nil {
			return
		}
	}
	t.Fatalf("process %d survives: %s", pid, out)
}

// memoryGroup is the directory of the cgroup that limits the container's memory.
func memoryGroup(lines []string) string {
	for _, line := range lines {
		f := strings.SplitN(line, ":", 3)
		if f[1] == "memory" {
			return "/sys/fs/cgroup/memory" + f[2]
		}
		if f[0] == "0" && len(lines) == 1 {
			return "/sys/fs/cgroup" + f[2]
		}
	}
	return ""
}

// hog is this program again: it enters a cgroup and takes memory until the victim is dead. The kernel kills the other
// one, which is larger and, so the kubelet has told it, may go first.
func hog(task string) int {
	victim, group, _ := strings.Cut(task, " ")
	pid, err := strconv.Atoi(victim)
	if err == nil {
		err = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Memory that belongs to the group and not to this process: the kernel looks for the largest process to kill.
	file, err := unix.MemfdCreate("hog", 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	block := make([]byte, 1<<20)
	for range 2048 {
		if syscall.Kill(pid, 0) != nil {
			return 0
		}
		if _, err := unix.Write(file, block); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	fmt.Fprintln(os.Stderr, "after 2 GiB the victim is still alive")
	return 1
}

// testDrain evicts everything that may be evicted. There is no other node, so one edge must be left.
func testDrain(t *testing.T) {
	bothEdges(t)
	stop, knocking := load(t, never), knock(t)
	selector := keyturnv1alpha1.LabelComponent + "=" + keyturnv1alpha1.ComponentEdge
	uncordon := func(ctx context.Context) error {
		_, err := theStage.Kubectl(ctx, "uncordon", node.Name)
		return err
	}
	t.Cleanup(func() { _ = uncordon(context.WithoutCancel(t.Context())) })
	out, err := theStage.Kubectl(t.Context(), "drain", node.Name, "--pod-selector="+selector, "--ignore-daemonsets", "--timeout=15s")
	if err == nil {
		t.Errorf("both edges were evicted though there is no other node: a disruption budget should have kept one\n%s", out)
	} else if !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("the drain failed for another reason: %v", err)
	}
	if err := uncordon(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	bothEdges(t)
	settle(t)
	l := stop()
	figure("drain with two edges on the only node", "%s; %s; both ready %.1f s after uncordon", sum(l), knocking.stop(t), time.Since(began).Seconds())
	wantNoneRefused(t, l)
}
