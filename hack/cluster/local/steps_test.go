package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/keyturn/keyturn/hack/cluster/binaries"
)

func testServed(f fixture) {
	began := time.Now()
	f.kubectl("apply", "-f", "testdata/manifests/web.yaml")
	pods := f.podsReady("web", 2)
	f.Logf("two pods ready %v after apply began", time.Since(began))
	service := f.service("web")
	f.eventually("both pods answer", patience, func(ctx context.Context) error {
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
	f.kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=60s")
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
	took := f.eventually("the annotated pod shows the new content", patience, func(ctx context.Context) error {
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
	f.eventually("only one pod answers", patience, func(ctx context.Context) error {
		for range 4 {
			if name, err := get(ctx, service+"/name"); err != nil || name != pods[1].Name+" 1" {
				return fmt.Errorf("%q, %w", name, err)
			}
		}
		return nil
	})
	f.mustGet(url(&pods[1]) + "/set?ready=false")
	f.eventually("connections are refused", patience, func(ctx context.Context) error {
		_, err := get(ctx, service+"/name")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("the error is %w", err)
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
		f.eventually("restarted and ready", patience, func(ctx context.Context) error {
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
	f.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	f.podsReady("web", 2)
	f.eventually("the new version answers", patience, func(ctx context.Context) error {
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
	f.eventually("the pod says what it waits for", patience, func(ctx context.Context) error {
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
	f.eventually("an Event says it too", patience, func(ctx context.Context) error {
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
	f.kubectl("wait", "job/ends", "--for=condition=Complete", "--timeout=60s")
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
	if took := time.Since(began); took > patience { // half of what it would have been given
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

// Pods are served, probed and restarted while the API server is away.
func testServerAway(f fixture) {
	pod := f.podsReady("web", 2)[0]
	pid, err := strconv.Atoi(f.mustGet(url(&pod) + "/pid"))
	if err != nil {
		f.Fatal(err)
	}
	if err := f.cluster.Kill(binaries.APIServer); err != nil {
		f.Fatal(err)
	}
	if _, err := f.client.Discovery().ServerVersion(); err == nil {
		f.Error("the API server still answers")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		f.Fatal(err)
	}
	f.eventually("the killed container runs again", patience, func(ctx context.Context) error {
		got, err := get(ctx, url(&pod)+"/pid")
		if err == nil && got == strconv.Itoa(pid) {
			return errors.New("the old process answers")
		}
		return err
	})
	if got := f.mustGet(url(&pod) + "/secret/key"); got != "two" {
		f.Errorf("the mount shows %q", got)
	}
	if err := f.cluster.Restart(f.Context(), binaries.APIServer); err != nil {
		f.Fatal(err)
	}
	f.eventually("the restart is reported", patience, func(ctx context.Context) error {
		p, err := f.client.CoreV1().Pods("default").Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && (p.Status.ContainerStatuses[0].RestartCount != 1 || !isReady(p)) {
			err = fmt.Errorf("%+v", p.Status)
		}
		return err
	})
}

func testDeletion(f fixture) {
	f.kubectl("delete", "-f", "testdata/manifests/web.yaml", "-f", "testdata/manifests/store.yaml", "--wait")
	f.kubectl("delete", "pvc", "--all", "--wait")
	f.eventually("pods, volumes and their directories are gone", patience, func(ctx context.Context) error {
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
