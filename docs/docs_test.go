// Package docs has no code: its test runs what the documentation tells people to type.
package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/snapshot"
)

var loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// TestSnapshotFormat types the block of snapshot-format.md, on free ports and in a directory of its own.
func TestSnapshotFormat(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("snapshot-format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```sh\n")
	script, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("snapshot-format.md has no shell block")
	}
	// The examples stay where they are, but for the feed's port, which both sides must share.
	dir := t.TempDir()
	ports := map[string]string{}
	moved := func(text string) string {
		return loopback.ReplaceAllStringFunc(text, func(address string) string {
			if ports[address] == "" {
				ports[address] = port.For(t)
			}
			return ports[address]
		})
	}
	script = moved(script)
	for _, name := range []string{"issuer-snapshot.json", "edge-snapshot.json"} {
		raw, err := os.ReadFile(filepath.Join("examples", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(moved(string(raw))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script = strings.NewReplacer("docs/examples/", dir+"/", "bin/", dir+"/bin/").Replace(script)
	out := runScript(t, root, script)
	for _, want := range []string{"HTTP/1.1 200 OK", "X-Auth-User: staff:alice", "X-Auth-Role: admin"} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands do not print %q:\n%s", want, out)
		}
	}
}

// TestSnapshotMembers holds the page to the types: a member that it does not name is one that nobody can use.
func TestSnapshotMembers(t *testing.T) {
	page, err := os.ReadFile("snapshot-format.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || !strings.HasSuffix(of.PkgPath(), "internal/snapshot") {
			return
		}
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				walk(path, field.Type)
				continue
			}
			if name == "" {
				continue // not written
			}
			seen++
			if !regexp.MustCompile("[`.]" + name + "(\\[\\])?[`.]").Match(page) {
				t.Errorf("snapshot-format.md does not name %s.%s", path, name)
			}
			walk(path+"."+name, field.Type)
		}
	}
	walk("issuer", reflect.TypeFor[snapshot.Issuer]())
	walk("edge", reflect.TypeFor[snapshot.Edge]())
	if seen < 60 {
		t.Errorf("only %d members were seen", seen)
	}
}

// runScript runs a script as a person's shell would and ends all that it started.
func runScript(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A file, because the programs left in the background would keep a pipe open.
	log, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	timer := time.AfterFunc(4*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	waitErr := cmd.Wait()
	out, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if waitErr != nil {
		t.Fatalf("%v\n%s", waitErr, out)
	}
	return string(bytes.TrimSpace(out))
}
