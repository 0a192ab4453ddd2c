package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/plugin"
)

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: here,
contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}, {name: there, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}]}`

// call runs a command line with a kubeconfig of a cluster that does not answer.
func call(t *testing.T, args ...string) (*kube, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	k := &kube{}
	cmd := root(k)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader("a password\n"))
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return k, out.String(), err
}

func TestCommandLines(t *testing.T) {
	const down = "does not answer at 127.0.0.1:1"
	for _, row := range []struct {
		line, want, namespace string
		began                 bool
	}{
		{"status", down, "shop", true},
		{"status -n demo", down, "demo", true},
		{"status -A", down, "", true},
		{"status --context there", down, "default", true},
		{"status --kubeconfig /does/not/exist", "does/not/exist", "", true},
		{"keys main --live -o wide", down, "shop", true},
		{"keys main -A", "-A does not go", "", true},
		{"keys a b", "at most 1", "shop", false},
		{"keys -o xml", "-o xml is unknown", "shop", false},
		{"rotate", "accepts 1 arg", "shop", false},
		{"rotate main --wait --timeout 1s", down, "shop", true},
		{"rollout status", down, "shop", true},
		{"rollout status web -o json", down, "shop", true},
		{"rollout status web -A", "-A does not go", "", true},
		{"rollout promote", "accepts 1 arg", "shop", false},
		{"rollout promote web --wait --timeout 1s", down, "shop", true},
		{"rollout abort web", down, "shop", true},
		{"user set bob --role ops --secret users --service web --password-stdin", down, "shop", true},
		{"user rm bob", down, "shop", true},
		{"user list -o json", down, "shop", true},
		{"revoke key main", "accepts 2 arg", "shop", false},
		{"revoke key main b41e02aa --reason leaked", down, "shop", true},
		{"revoke user web staff:alice --reason gone --wait=false", down, "shop", true},
		{"revoke session web 1.AAAAAAAAAAAAAAAAAAAAAA --reason gone --timeout 1s", down, "shop", true},
		{"revoke all web --reason breach -n demo", down, "demo", true},
		{"revoke all web", "why?", "shop", true},
		{"revoke user web", "accepts 2 arg", "shop", false},
		{"access", down, "shop", true},
		{"access orders -o yaml", down, "shop", true},
		{"access orders -A", "-A does not go", "", true},
		{"access a b", "at most 1", "shop", false},
		{"exposure", down, "shop", true},
		{"exposure main -o json", down, "shop", true},
		{"exposure main -A", "-A does not go", "", true},
	} {
		k, _, err := call(t, strings.Fields(row.line)...)
		if err == nil {
			t.Errorf("%s: no error", row.line)
			continue
		}
		trouble := plugin.Explain(err, k.namespace())
		if !strings.Contains(trouble.What, row.want) || k.began != row.began || k.namespace() != row.namespace {
			t.Errorf("%s: %q, began %t, namespace %q", row.line, trouble.What, k.began, k.namespace())
		}
	}
}

func TestVersionNeedsNoCluster(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--client"}} {
		if _, out, err := call(t, args...); err != nil || !strings.HasPrefix(out, "client   dev\n") {
			t.Errorf("%v: %q, %v", args, out, err)
		}
	}
}

// TestHelp shows the name that users type, three connection flags and no more, and one line about every command.
func TestHelp(t *testing.T) {
	_, out, err := call(t, "--help")
	if err != nil || !strings.Contains(out, "kubectl keyturn [command]") || !strings.Contains(out, "--kubeconfig") || strings.Contains(out, "--certificate-authority") {
		t.Errorf("%v\n%s", err, out)
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q", cmd.CommandPath(), cmd.Short)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root(&kube{}))
}
