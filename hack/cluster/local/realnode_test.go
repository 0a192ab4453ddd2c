//go:build realnode && linux

package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/keyturn/keyturn/hack/cluster/image"
	"github.com/keyturn/keyturn/hack/cluster/node"
	"github.com/keyturn/keyturn/hack/cluster/node/trace"
)

// sampleRef is the image that the manifests name.
const sampleRef = "registry.example/keyturn/sample:v1"

// TestMain doubles as the driver that TestRealNodeOfAKilledDriver kills.
func TestMain(m *testing.M) {
	if os.Getenv("LOCAL_TEST_DRIVER") == "" {
		os.Exit(m.Run())
	}
	c, err := Start(context.Background(), Options{Node: RealNode, Log: os.Stderr})
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, c.Dir())
	select {}
}

// before looks at the machine, after what a node needs has been installed. Without root there is nothing to test.
func before(t *testing.T) trace.State {
	t.Helper()
	if err := node.Check(); err != nil {
		if os.Getenv("REQUIRE_E2E") == "1" {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: %v ***\n(REQUIRE_E2E=1 makes this a failure)\n\n", err)
		t.Skip(err)
	}
	if err := node.Install(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
	return take(t)
}

func take(t *testing.T) trace.State {
	t.Helper()
	s, err := trace.Take()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func packSample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "sample"), "./testdata/sample")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := os.Create(filepath.Join(dir, "sample.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	i := image.Image{Ref: sampleRef, Entrypoint: []string{"/sample"}, Files: map[string]string{"/sample": filepath.Join(dir, "sample")}}
	if _, err := i.Write(file); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

func startReal(t *testing.T, o Options) fixture {
	t.Helper()
	o.Node, o.Log = RealNode, t.Output()
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return fixture{t, c, client, ""}
}

// nothingSince waits until the machine is as it was.
func (f fixture) nothingSince(before trace.State) {
	f.Helper()
	f.eventually("nothing is left", 20*time.Second, func(context.Context) error {
		if left := take(f.T).Since(before); len(left) > 0 {
			return fmt.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
		return nil
	})
}

// TestRealNode runs pods, reaches them from this machine, stops, starts again in the same directory, and leaves nothing.
func TestRealNode(t *testing.T) {
	was := before(t)
	options := Options{Dir: t.TempDir(), Images: []string{packSample(t)}}
	f := startReal(t, options)
	if seen := take(t).Since(was); len(seen) < 10 {
		t.Errorf("the trace of a running node is only %v: nothing would be found after it either", seen)
	}
	f.kubectl("apply", "-f", patientWeb(t))
	testServedByNode(f)
	pod := f.podsReady("web", 2)[0]
	if out := f.kubectl("logs", pod.Name); !strings.Contains(out, "8080") {
		t.Errorf("kubectl logs: %q", out)
	}
	if out := f.kubectl("exec", pod.Name, "--", "/sample", "--note=x"); out != "" {
		t.Errorf("kubectl exec: %q", out)
	}
	testRollingUpdate(f)
	if err := f.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	f.nothingSince(was)

	f = startReal(t, options)
	testServedByNode(f)
	// One process is the whole node.
	if err := syscall.Kill(f.cluster.Node().Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-f.cluster.Node().Done()
	if err := f.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	f.nothingSince(was)
}

// patientWeb is the sample with more time to end: a real kube-proxy takes a second and more to forget a pod.
func patientWeb(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/manifests/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "--linger=2s", "--linger=3s")), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func testServedByNode(f fixture) {
	pods := f.podsReady("web", 2)
	if got := f.mustGet(url(&pods[0]) + "/name"); !strings.HasPrefix(got, pods[0].Name) {
		f.Errorf("%s answers %q", pods[0].Name, got)
	}
	service := f.service("web")
	f.eventually("both pods answer for the Service", 10*time.Second, func(ctx context.Context) error {
		seen := map[string]bool{}
		for range 20 {
			name, err := get(ctx, service+"/name")
			if err != nil {
				return err
			}
			seen[name] = true
		}
		if len(seen) != 2 {
			return fmt.Errorf("answers: %v", seen)
		}
		return nil
	})
}

// TestRealNodeOfAKilledDriver kills the program that runs a cluster, which can do nothing about it.
func TestRealNodeOfAKilledDriver(t *testing.T) {
	was := before(t)
	driver := exec.Command(os.Args[0])
	driver.Env, driver.Stderr = append(os.Environ(), "LOCAL_TEST_DRIVER=1"), t.Output()
	out, err := driver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	dir := strings.TrimSpace(line)
	if err != nil || take(t).Since(was) == nil {
		t.Fatalf("the driver wrote %q, %v", line, err)
	}
	if err := driver.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = driver.Wait()
	f := fixture{T: t}
	f.nothingSince(was)
	f.eventually("its directory is gone", 20*time.Second, func(context.Context) error {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return nil
	})
}

// TestNextStartSweeps leaves what a node leaves whose sweeper was killed too.
func TestNextStartSweeps(t *testing.T) {
	was := before(t)
	c, err := takeSlot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	number := c.number
	c.release()
	for _, h := range []string{"memory", "cpu"} {
		if err := os.MkdirAll(filepath.Join("/sys/fs/cgroup", h, node.CgroupName(number), "kubepods", "pod1"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("ip", "link", "add", node.LinkName(number), "type", "veth", "peer", "name", "kt-left").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := startReal(t, Options{})
	if err := f.cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	f.nothingSince(was)
}
