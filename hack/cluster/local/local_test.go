package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	authenticationv1 "k8s.io/api/authentication/v1"

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
	f.eventually(fmt.Sprintf("%d ready pods of %s", n, app), 20*time.Second, func(ctx context.Context) error {
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

func testServed(f fixture) {
	began := time.Now()
	f.kubectl("apply", "-f", "testdata/manifests/web.yaml")
	pods := f.podsReady("web", 2)
	f.Logf("two pods ready %v after apply began", time.Since(began))
	service := f.service("web")
	f.eventually("both pods answer", 2*time.Second, func(ctx context.Context) error {
		seen := map[string]bool{}
		for range 4 {
			name, err := get(ctx, service+"/name")
			if err != nil {
				return err
			}
			seen[name] = true
		}
		if len(seen) != 2 || !seen[pods[0].Name+" 1"] {
			return fmt.Errorf("answers: %v", seen)
		}
		return nil
	})
	f.kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=10s")
}

func testEnvironment(f fixture) {
	pod := f.podsReady("web", 2)[0]
	host := strings.TrimPrefix(f.service("web"), "http://")
	if got, want := f.mustGet(url(&pod)+"/feed"), "https://"+host+"/"+pod.Name; got != want {
		f.Errorf("the argument is %q, want %q", got, want)
	}
	env := map[string]string{}
	for line := range strings.Lines(f.mustGet(url(&pod) + "/env")) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[k] = v
	}
	ip, _, _ := strings.Cut(host, ":")
	for k, want := range map[string]string{
		"POD": pod.Name, "POD_IP": pod.Status.PodIP, "KEYTURN_BIND_ADDRESS": pod.Status.PodIP, "COLOUR": "green", "KEY": "one",
		"FEED_SERVER_NAME": "web.default.svc", "HOSTNAME": pod.Name, "KUBERNETES_SERVICE_PORT": "443", "WEB_SERVICE_HOST": ip,
	} {
		if env[k] != want {
			f.Errorf("%s is %q, want %q", k, env[k], want)
		}
	}
	if v, ok := env["MISSING"]; ok {
		f.Errorf("MISSING is set: %q", v)
	}
	b, err := os.ReadFile(env["FILE"])
	if err != nil || string(b) != "one" {
		f.Errorf("the file of the variable (%s): %q, %v", env["FILE"], b, err)
	}
	if info, err := os.Stat(env["FILE"]); err != nil || info.Mode().Perm() != 0o400 {
		f.Errorf("mode %v, %v; want 0400", info.Mode(), err)
	}
}

func testToken(f fixture) {
	pod := f.podsReady("web", 2)[0]
	path := ""
	for line := range strings.Lines(f.mustGet(url(&pod) + "/env")) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "KUBECONFIG="); ok {
			path = v
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		f.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		f.Fatal(err)
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(f.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	if got, want := review.Status.UserInfo.Username, "system:serviceaccount:default:default"; got != want {
		f.Errorf("the pod is %q, want %q", got, want)
	}
}

func testMounts(f fixture) {
	pods := f.podsReady("web", 2)
	f.kubectl("patch", "secret", "web", "-p", `{"stringData":{"key":"two"}}`)
	// A status change (the pod becomes unready and ready again) must not refresh the mount either.
	f.mustGet(url(&pods[1]) + "/set?ready=false")
	window := time.Now().Add(1500 * time.Millisecond)
	for time.Now().Before(window) {
		for i := range pods {
			if got := f.mustGet(url(&pods[i]) + "/secret/key"); got != "one" {
				f.Fatalf("%s shows %q though nothing happened to the pod", pods[i].Name, got)
			}
		}
	}
	f.mustGet(url(&pods[1]) + "/set")
	_, err := f.client.CoreV1().Pods("default").Patch(f.Context(), pods[0].Name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"keyturn.dev/revision":"2"}}}`), metav1.PatchOptions{})
	if err != nil {
		f.Fatal(err)
	}
	took := f.eventually("the annotated pod shows the new content", time.Second, func(ctx context.Context) error {
		if got, err := get(ctx, url(&pods[0])+"/secret/key"); err != nil || got != "two" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	})
	f.Logf("mount refreshed %v after the annotation", took)
	if got := f.mustGet(url(&pods[1]) + "/secret/key"); got != "one" {
		f.Errorf("the other pod shows %q", got)
	}
	f.podsReady("web", 2)
}

func testReadiness(f fixture) {
	pods := f.podsReady("web", 2)
	service := f.service("web")
	f.mustGet(url(&pods[0]) + "/set?ready=false")
	f.eventually("only one pod answers", 5*time.Second, func(ctx context.Context) error {
		for range 4 {
			if name, err := get(ctx, service+"/name"); err != nil || name != pods[1].Name+" 1" {
				return fmt.Errorf("%q, %w", name, err)
			}
		}
		return nil
	})
	f.mustGet(url(&pods[1]) + "/set?ready=false")
	f.eventually("connections are refused", 5*time.Second, func(ctx context.Context) error {
		_, err := get(ctx, service+"/name")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("the error is %v", err)
		}
		return nil
	})
	for i := range pods {
		f.mustGet(url(&pods[i]) + "/set")
	}
	f.podsReady("web", 2)
}

func testRestart(f fixture) {
	pod := f.podsReady("web", 2)[0]
	restarted := func(n int32) corev1.ContainerStatus {
		var status corev1.ContainerStatus
		f.eventually("restarted and ready", 10*time.Second, func(ctx context.Context) error {
			p, err := f.client.CoreV1().Pods("default").Get(ctx, pod.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if status = p.Status.ContainerStatuses[0]; status.RestartCount != n || !isReady(p) || p.Status.PodIP != pod.Status.PodIP {
				return fmt.Errorf("%+v", p.Status)
			}
			return nil
		})
		return status
	}
	pid, err := strconv.Atoi(f.mustGet(url(&pod) + "/pid"))
	if err != nil {
		f.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		f.Fatal(err)
	}
	if last := restarted(1).LastTerminationState.Terminated; last == nil || last.ExitCode != 137 || last.Signal != 9 {
		f.Errorf("the last state after a kill is %+v", last)
	}
	if got := f.mustGet(url(&pod) + "/secret/key"); got != "two" {
		f.Errorf("after a restart the mount shows %q", got)
	}
	f.mustGet(url(&pod) + "/set?live=false")
	if last := restarted(2).LastTerminationState.Terminated; last == nil || last.ExitCode != 0 {
		f.Errorf("the last state after a failed liveness probe is %+v (SIGTERM lets the program end by itself)", last)
	}
}

func testRollingUpdate(f fixture) {
	service := f.service("web")
	ctx, cancel := context.WithCancel(f.Context())
	defer cancel()
	var wg sync.WaitGroup
	requests, versions := 0, map[string]int{}
	wg.Go(func() {
		for ctx.Err() == nil {
			name, err := get(f.Context(), service+"/name")
			if err != nil {
				f.Errorf("a request failed during the update: %v", err)
				return
			}
			requests++
			versions[name[strings.LastIndexByte(name, ' ')+1:]]++
		}
	})
	f.kubectl("set", "env", "deployment/web", "VERSION=2")
	f.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
	f.podsReady("web", 2)
	f.eventually("the new version answers", 5*time.Second, func(ctx context.Context) error {
		if name, err := get(ctx, service+"/name"); err != nil || !strings.HasSuffix(name, " 2") {
			return fmt.Errorf("%q, %w", name, err)
		}
		return nil
	})
	cancel()
	wg.Wait()
	f.Logf("%d requests, none failed, by version: %v", requests, versions)
}

func testMissingSecret(f fixture) {
	const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"waits","labels":{"app":"waits"}},"spec":{
		"containers":[{"name":"c","image":"sample","volumeMounts":[{"name":"s","mountPath":"/s"}]}],
		"volumes":[{"name":"s","secret":{"secretName":"late"}}],"terminationGracePeriodSeconds":1}}`
	file := filepath.Join(f.TempDir(), "pod.json")
	if err := os.WriteFile(file, []byte(pod), 0o644); err != nil {
		f.Fatal(err)
	}
	f.kubectl("apply", "-f", file)
	f.eventually("the pod says what it waits for", 5*time.Second, func(ctx context.Context) error {
		p, err := f.client.CoreV1().Pods("default").Get(ctx, "waits", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(p.Status.ContainerStatuses) == 1 {
			if w := p.Status.ContainerStatuses[0].State.Waiting; w != nil && w.Reason == "ContainerCreating" && strings.Contains(w.Message, `"late" not found`) {
				return nil
			}
		}
		return fmt.Errorf("%+v", p.Status)
	})
	f.eventually("an Event says it too", 5*time.Second, func(ctx context.Context) error {
		events, err := f.client.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=waits,reason=FailedMount"})
		if err != nil || len(events.Items) == 0 {
			return fmt.Errorf("no event (%w)", err)
		}
		return nil
	})
	f.kubectl("create", "secret", "generic", "late", "--from-literal=a=b")
	f.podsReady("waits", 1)
	f.kubectl("delete", "pod", "waits", "--wait")
}

func testJob(f fixture) {
	f.kubectl("create", "job", "ends", "--image=sample", "--", "/sample", "--note=bye", "--exit=0")
	f.kubectl("wait", "job/ends", "--for=condition=Complete", "--timeout=10s")
	f.kubectl("delete", "job", "ends", "--wait")
}

func testStateful(f fixture) {
	f.kubectl("apply", "-f", "testdata/manifests/store.yaml")
	pod := f.podsReady("store", 1)[0]
	f.mustGet(url(&pod) + "/note/hello")
	if env := f.mustGet(url(&pod) + "/env"); strings.Contains(env, "KUBECONFIG=") {
		f.Error("a pod whose token is switched off has a KUBECONFIG")
	}
	began := time.Now()
	f.kubectl("delete", "pod", "store-0", "--wait")
	if took := time.Since(began); took > 5*time.Second {
		f.Errorf("the deletion took %v though the program ends at once on SIGTERM", took)
	}
	again := f.podsReady("store", 1)[0]
	if again.UID == pod.UID || again.Status.PodIP == pod.Status.PodIP {
		f.Errorf("the new pod has the address of the old one: %s", again.Status.PodIP)
	}
	want := "prepared\nhello\nprestop\nterm\nprepared\n"
	if got := f.mustGet(url(&again) + "/notes"); got != want {
		f.Errorf("the notes are %q, want %q", got, want)
	}
}

func testLogs(f fixture) {
	if got := f.kubectl("logs", "store-0", "-c", "store", "--tail=1"); !strings.HasPrefix(got, "listening on 127.") || strings.Count(got, "\n") != 1 {
		f.Errorf("kubectl logs: %q", got)
	}
	b, err := os.ReadFile(f.cluster.LogPath("default", "store-0", "store"))
	if err != nil || strings.Count(string(b), "listening on") != 2 {
		f.Errorf("the log of both pods of that name: %q, %v", b, err)
	}
	if b, err := os.ReadFile(f.audit); err != nil || !strings.Contains(string(b), `"auditID"`) {
		f.Errorf("the audit log has %d bytes, %v", len(b), err)
	}
}

func testDeletion(f fixture) {
	f.kubectl("delete", "-f", "testdata/manifests/web.yaml", "-f", "testdata/manifests/store.yaml", "--wait")
	f.kubectl("delete", "pvc", "--all", "--wait")
	f.eventually("pods, volumes and their directories are gone", 10*time.Second, func(ctx context.Context) error {
		pods, err := f.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) > 0 {
			return fmt.Errorf("%d pods (%w)", len(pods.Items), err)
		}
		volumes, err := f.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err != nil || len(volumes.Items) > 0 {
			return fmt.Errorf("%d volumes (%w)", len(volumes.Items), err)
		}
		for _, dir := range []string{"pods", "claims"} {
			entries, err := os.ReadDir(filepath.Join(f.cluster.Dir(), dir))
			if err != nil || len(entries) > 0 {
				return fmt.Errorf("in %s: %v (%w)", dir, entries, err)
			}
		}
		if pids := f.cluster.Agent().Pids(); len(pids) > 0 {
			return fmt.Errorf("processes %v", pids)
		}
		return nil
	})
	if _, err := f.client.CoreV1().Services("default").Get(f.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		f.Errorf("the Service: %v", err)
	}
}

// testNothingIsLeft stops the cluster while a pod runs.
func testNothingIsLeft(f fixture) {
	if !f.Failed() {
		f.kubectl("apply", "-f", "testdata/manifests/web.yaml")
		f.podsReady("web", 2)
	}
	pids := f.cluster.Pids()
	if len(pids) < 3 {
		f.Errorf("only the processes %v before the stop", pids)
	}
	began := time.Now()
	if err := f.cluster.Stop(); err != nil {
		f.Error(err)
	}
	f.Logf("stopped %d processes in %v", len(pids), time.Since(began))
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			f.Errorf("process %d is left (%v)", pid, err)
		}
	}
	if _, err := os.Stat(f.cluster.Dir()); !os.IsNotExist(err) {
		f.Errorf("the directory is left: %v", err)
	}
}
