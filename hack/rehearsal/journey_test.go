//go:build realnode && linux

package rehearsal

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/hack/cluster/image"
	"github.com/keyturn/keyturn/hack/stage"
)

func wantAnswer(t *testing.T, what string, answer stage.Answer, err error, status int, code string) {
	t.Helper()
	if err != nil || answer.Status != status || answer.Code() != code {
		t.Fatalf("%s: status %d code %q (error %v), want %d %q; body %s", what, answer.Status, answer.Code(), err, status, code, answer.Body)
	}
}

// testJourney is a user's day: refused, in, call, refresh, out, refused.
func testJourney(t *testing.T) {
	user := theStage.User()
	answer, err := user.Call(t.Context(), "/orders")
	wantAnswer(t, "call without a token", answer, err, http.StatusUnauthorized, "no_credential")
	first, answer, err := user.Login(t.Context(), alice, alicePassword)
	wantAnswer(t, "login", answer, err, http.StatusOK, "")
	answer, err = user.CallAs(t.Context(), "/orders", first.Access)
	wantAnswer(t, "call", answer, err, http.StatusOK, "")
	var seen stage.Seen
	if err := answer.Decode(&seen); err != nil || seen.User != "staff:alice" || seen.Role != "admin" {
		t.Errorf("the application saw %+v (error %v)", seen, err)
	}
	second, answer, err := user.Refresh(t.Context(), first.Refresh)
	wantAnswer(t, "refresh", answer, err, http.StatusOK, "")
	began := time.Now()
	answer, err = user.Logout(t.Context(), second.Refresh)
	wantAnswer(t, "logout", answer, err, http.StatusOK, "")
	var out struct {
		Propagated bool `json:"propagated"`
	}
	if err := answer.Decode(&out); err != nil || !out.Propagated {
		t.Errorf("logout answered %s (error %v), want propagated", answer.Body, err)
	}
	figure("logout, until both edges refuse the session ("+t.Name()+")", "%d ms", time.Since(began).Milliseconds())
	for range 20 { // no wait: the logout has been answered, so every edge refuses
		answer, err = user.CallAs(t.Context(), "/orders", second.Access)
		wantAnswer(t, "call after logout", answer, err, http.StatusUnauthorized, "revoked")
	}
}

// testMounts measures how late a pod sees a changed Secret: with an annotation, and (in the soak) without.
func testMounts(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "mounts", Namespace: stage.Namespace}
	secret := &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"value": "0"}}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64(1)),
		SecurityContext: &corev1.PodSecurityContext{ // the namespace enforces "restricted"
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "pause", Image: image.Pause, ImagePullPolicy: corev1.PullNever,
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			VolumeMounts:    []corev1.VolumeMount{{Name: "s", MountPath: "/s"}},
		}},
		Volumes: []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}}},
	}}
	for _, object := range []client.Object{secret, pod} {
		if err := theStage.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = theStage.Client.Delete(context.WithoutCancel(t.Context()), object) })
	}
	kubectl(t, "wait", "-n", stage.Namespace, "pod/mounts", "--for=condition=Ready", "--timeout=30s")
	file := filepath.Join(fmt.Sprintf("/proc/%d/root/run/keyturn/kubelet/pods", theStage.Cluster.Node().Pid()), string(pod.UID), "volumes/kubernetes.io~secret/s/value")
	change := func(value string, nudge bool) time.Duration {
		patch(t, secret, fmt.Sprintf(`{"stringData":{"value":%q}}`, value))
		began := time.Now()
		attempt := 0
		await(t, "the mount shows "+value, 3*time.Minute, func(context.Context) (string, error) {
			if due := time.Duration(attempt) * time.Second; nudge && time.Since(began) >= due {
				attempt++
				patch(t, pod, fmt.Sprintf(`{"metadata":{"annotations":{"keyturn.dev/test":"%s-%d"}}}`, value, attempt))
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != value {
				return fmt.Sprintf("it shows %q", got), err
			}
			return "", nil
		})
		return time.Since(began)
	}
	var shortest, longest time.Duration
	for i := range 8 {
		took := change(fmt.Sprint("nudged ", i), true)
		if longest = max(longest, took); i == 0 || took < shortest {
			shortest = took
		}
	}
	figure("changed Secret in the mount, pod annotated", "%.1f to %.1f s (8 changes)", shortest.Seconds(), longest.Seconds())
	if longest > 10*time.Second {
		t.Errorf("an annotated pod saw a change after %v", longest)
	}
	if os.Getenv("KEYTURN_SOAK") == "1" {
		for i := range 3 {
			figure("changed Secret in the mount, nothing done", "%.1f s", change(fmt.Sprint("left alone ", i), false).Seconds())
		}
	}
}

func patch(t *testing.T, object client.Object, merge string) {
	t.Helper()
	target, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		t.Fatalf("%T", object)
	}
	if err := theStage.Client.Patch(t.Context(), target, client.RawPatch(types.MergePatchType, []byte(merge))); err != nil {
		t.Fatal(err)
	}
}

// testRotation rotates under load, by annotation, as a person would.
func testRotation(t *testing.T) {
	kubectl(t, "patch", "sks", stage.KeySet, "-n", stage.Namespace, "--type=merge", "-p", stage.FastRotation)
	stop := load(t, time.Second)
	for i := range 3 {
		began := time.Now()
		from, to, err := theStage.Rotate(t.Context())
		if err != nil || from == to {
			t.Fatalf("from %q to %q: %v", from, to, err)
		}
		figure(fmt.Sprintf("rotation %d: annotated, until every replica has loaded the switch", i+1), "%.1f s", time.Since(began).Seconds())
	}
	l := stop()
	figure("load during the rotations", "%s", sum(l))
	wantNoneRefused(t, l)
	if l.Refreshed.Load() == 0 {
		t.Error("nobody refreshed")
	}
}
