package local

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/keyturn/keyturn/hack/cluster/agent"
)

// fixture is one cluster for the steps of TestCluster.
type fixture struct {
	*testing.T
	cluster *Cluster
	client  kubernetes.Interface
	audit   string
}

// TestCluster runs the steps in order on one cluster: each begins with what the one before left.
func TestCluster(t *testing.T) {
	f := start(t)
	for _, step := range []struct {
		name string
		run  func(fixture)
	}{
		{"deployment is served through its Service", testServed},
		{"environment and arguments", testEnvironment},
		{"pod's own API access", testToken},
		{"mounts are refreshed by an annotation and not before", testMounts},
		{"readiness steers the Service", testReadiness},
		{"killed and unhealthy containers are restarted", testRestart},
		{"rolling update under load", testRollingUpdate},
		{"missing Secret is waited for", testMissingSecret},
		{"pod that ends", testJob},
		{"stateful set keeps its data", testStateful},
		{"logs", testLogs},
		{"API server away", testServerAway},
		{"deletion", testDeletion},
	} {
		if !t.Run(step.name, func(t *testing.T) { g := f; g.T = t; step.run(g) }) {
			break
		}
	}
	testNothingIsLeft(f)
}

func start(t *testing.T) fixture {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "sample"), "./testdata/sample")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	audit := filepath.Join(t.TempDir(), "audit.log")
	began := time.Now()
	c, err := Start(t.Context(), Options{BinDir: bin, Log: t.Output(), AuditLog: audit, Agent: agent.Options{SyncPeriod: time.Hour, RestartDelay: 200 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	t.Logf("started in %v", time.Since(began))
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return fixture{t, c, client, audit}
}

// patience is for whatever comes of its own accord: a machine with other work to do takes many times longer.
const patience = time.Minute

// eventually polls until f has no objection.
func (f fixture) eventually(what string, limit time.Duration, check func(ctx context.Context) error) time.Duration {
	f.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(f.Context(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for last := error(nil); ; {
		if err := check(ctx); err == nil {
			return time.Since(began)
		} else if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			f.Fatalf("%s: not within %v: %v", what, limit, last)
		case <-tick.C:
		}
	}
}

func (f fixture) kubectl(args ...string) string {
	f.Helper()
	cmd := exec.Command(f.cluster.KubectlPath(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+f.cluster.Kubeconfig())
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// get asks a new connection each time, as a Service balances connections and not requests.
func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}

func (f fixture) mustGet(url string) string {
	f.Helper()
	s, err := get(f.Context(), url)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// podsReady lists the pods of an app when exactly n exist and all are ready.
func (f fixture) podsReady(app string, n int) []corev1.Pod {
	f.Helper()
	var items []corev1.Pod
	f.eventually(fmt.Sprintf("%d ready pods of %s", n, app), patience, func(ctx context.Context) error {
		list, err := f.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return err
		}
		items = list.Items
		if len(items) != n {
			return fmt.Errorf("%d pods", len(items))
		}
		for i := range items {
			if !isReady(&items[i]) {
				return fmt.Errorf("%s is not ready: %+v", items[i].Name, items[i].Status.ContainerStatuses)
			}
		}
		return nil
	})
	return items
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}

func url(p *corev1.Pod) string { return "http://" + p.Status.PodIP + ":8080" }

func (f fixture) service(name string) string {
	f.Helper()
	s, err := f.client.CoreV1().Services("default").Get(f.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprintf("http://%s:%d", s.Spec.ClusterIP, s.Spec.Ports[0].Port)
}
