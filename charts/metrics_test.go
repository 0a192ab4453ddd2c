package charts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/hack/port"
)

// TestMetricsOfTheDataPlane runs both programs on the documents of docs/examples, does what users do, and compares what
// their /metrics expose with docs/metrics.md. The manager's metrics are compared in controllers/.
func TestMetricsOfTheDataPlane(t *testing.T) {
	address := map[string]string{}
	for _, name := range []string{"public", "feed", "tokens", "http", "grpc", "edge"} {
		address[name] = port.For(t)
	}
	dir := t.TempDir()
	for _, name := range []string{"issuer-snapshot.json", "edge-snapshot.json"} {
		raw, err := os.ReadFile(filepath.Join("..", "docs", "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.ReplaceAll(raw, []byte("127.0.0.1:8444"), []byte(address["feed"]))
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../cmd/tokenservice", "../cmd/extauthz")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start(t, filepath.Join(dir, "tokenservice"), "--snapshot", dir+"/issuer-snapshot.json", "--data-dir", dir,
		"--listen", address["public"], "--internal-listen", address["tokens"], "--feed-listen", address["feed"])
	start(t, filepath.Join(dir, "extauthz"), "--snapshot", dir+"/edge-snapshot.json",
		"--http-listen", address["http"], "--grpc-listen", address["grpc"], "--internal-listen", address["edge"])
	for _, name := range []string{"tokens", "edge"} {
		eventually(t, name+" is ready", func() error { _, err := call(http.MethodGet, "http://"+address[name]+"/readyz", "", nil); return err })
	}
	useOnce(t, "http://"+address["public"], "http://"+address["http"])

	both := section(t, "Token service and edge")
	for name, heading := range map[string]string{"tokens": "Token service", "edge": "Edge"} {
		text, err := call(http.MethodGet, "http://"+address[name]+"/metrics", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(maps.Keys(merge(section(t, heading), both)))
		if got := slices.Sorted(maps.Keys(exposed(text))); !slices.Equal(got, want) {
			t.Errorf("%s: docs/metrics.md lists %q, the program exposes %q", heading, without(want, got), without(got, want))
		}
		for metric, kind := range exposed(text) {
			if documented := merge(section(t, heading), both)[metric]; documented != "" && documented != kind {
				t.Errorf("%s is a %s, and a %s in docs/metrics.md", metric, kind, documented)
			}
		}
	}
}

// useOnce logs in, refreshes, asks the edge and logs out, so that nothing is left unused.
func useOnce(t *testing.T, tokens, edge string) {
	t.Helper()
	var pair struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	for _, step := range []struct{ path, body string }{
		{"/auth/login", `{"username":"alice","password":"sample-password-alice"}`},
		{"/auth/refresh", ""},
		{"/auth/logout", ""},
	} {
		body := step.body
		if body == "" {
			body = fmt.Sprintf(`{"refresh_token":%q}`, pair.Refresh)
		}
		if step.path == "/auth/logout" {
			header := http.Header{"X-Original-Method": {"GET"}, "X-Original-Url": {edge + "/orders"}, "Authorization": {"Bearer " + pair.Access}}
			if _, err := call(http.MethodGet, edge+"/authz/nginx/-/default", "", header); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := call(http.MethodPost, tokens+step.path, body, http.Header{"Content-Type": {"application/json"}})
		if err != nil {
			t.Fatal(err)
		}
		if step.path != "/auth/logout" {
			if err := json.Unmarshal([]byte(answer), &pair); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// start runs a program until the test ends, and shows its log when the test has failed.
func start(t *testing.T, program string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), log.String())
		}
	})
}

func call(method, url, body string, header http.Header) (string, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	maps.Copy(request.Header, header)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s\n%s", method, url, response.Status, raw)
	}
	return string(raw), err
}

// exposed are our metrics in a scrape and their types. A metric without a sample is not exposed.
func exposed(text string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (keyturn_\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// section are the metrics of one table of docs/metrics.md and their types.
func section(t *testing.T, heading string) map[string]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n## "+heading+"\n")
	text, _, _ := strings.Cut(rest, "\n## ")
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(keyturn_[a-z_]+)` \\| (\\S+) \\|").FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	if !found || len(out) == 0 {
		t.Fatalf("docs/metrics.md has no table under %q", heading)
	}
	return out
}

func merge(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}
