package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/hack/stage"
)

// TestCanaries runs last (its file sorts last) and looks for every secret that the other tests met in all that people
// and machines can read: logs, events, statuses, metrics, replicas' status, the API server's audit log.
func TestCanaries(t *testing.T) {
	secretsSeen.add("password", alicePassword)
	secretsSeen.add("password", bobPassword)
	eventually(t, inOrder) // each replica is asked
	plantedSecrets(t)
	if len(secretsSeen.seen) < 20 {
		t.Fatalf("only %d secrets were met: the test sees nothing", len(secretsSeen.seen))
	}
	places := readPlaces(t)
	for place, text := range places {
		for secret, what := range secretsSeen.seen {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows a %s: …%s…", place, what, text[max(0, i-80):i])
			}
		}
	}
	t.Logf("%d secrets looked for in %d places", len(secretsSeen.seen), len(places))
}

// plantedSecrets adds the private halves of all keys, the feed's credentials and the password hashes.
func plantedSecrets(t *testing.T) {
	t.Helper()
	var list corev1.SecretList
	if err := theStage.Client.List(t.Context(), &list, client.InNamespace(stage.Namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		for key, value := range list.Items[i].Data {
			switch key {
			case "private.jwk":
				var private map[string]string
				if err := json.Unmarshal(value, &private); err != nil {
					t.Fatal(err)
				}
				for _, member := range []string{"d", "p", "q", "dp", "dq", "qi"} {
					if private[member] != "" {
						secretsSeen.add("private key, member "+member, private[member])
					}
				}
			case "token":
				secretsSeen.add("feed token", string(value))
			case "tls.key":
				secretsSeen.add("feed key", strings.Split(string(value), "\n")[1])
			case "htpasswd":
				for line := range strings.Lines(string(value)) {
					if _, hash, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
						secretsSeen.add("password hash", hash)
					}
				}
			}
		}
	}
}

// readPlaces gathers all that must not show a secret.
func readPlaces(t *testing.T) map[string]string {
	t.Helper()
	places := map[string]string{"the agent's log": stageLog.String()}
	for _, args := range []string{
		"get events.events.k8s.io -A -o yaml", "get sks,tpol,tsvc -A -o yaml", "get pods,deployments,statefulsets,services,configmaps -A -o yaml",
		"describe sks,tpol,tsvc,pods -n " + stage.Namespace,
	} {
		places["kubectl "+args] = must[string](t)(theStage.Kubectl(t.Context(), strings.Fields(args)...))
	}
	var pods corev1.PodList
	if err := theStage.Client.List(t.Context(), &pods, client.InNamespace(stage.Namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		for _, path := range []string{"/metrics", "/status"} {
			url := "http://" + pods.Items[i].Status.PodIP + ":9090" + path
			places[pods.Items[i].Name+path] = must[string](t)(fetch(t.Context(), url))
		}
	}
	logs := 0
	err := filepath.WalkDir(stageDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".log") {
			return nil //nolint:nilerr // what vanishes while we look holds nothing
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // so does a log of a pod that is being removed
		}
		if err == nil {
			places[path] = string(raw)
			logs++
		}
		return err
	})
	if err != nil || logs < 5 {
		t.Fatalf("found %d logs (error %v)", logs, err)
	}
	return places
}
