package snapshot_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// mount is a directory that is written the way kubelet does: data in a directory, a link swapped by rename.
type mount struct {
	t    *testing.T
	dir  string
	swap int
}

func newMount(t *testing.T) *mount { return &mount{t: t, dir: t.TempDir()} }

func (m *mount) path() string { return filepath.Join(m.dir, "doc") }

func (m *mount) write(content string) {
	m.t.Helper()
	m.swap++
	data := filepath.Join(m.dir, "..v"+string(rune('a'+m.swap)))
	must(m.t, os.Mkdir(data, 0o700))
	must(m.t, os.WriteFile(filepath.Join(data, "doc"), []byte(content), 0o600))
	must(m.t, os.Symlink(filepath.Base(data), filepath.Join(m.dir, "..tmp")))
	must(m.t, os.Rename(filepath.Join(m.dir, "..tmp"), filepath.Join(m.dir, "..data")))
	if m.swap == 1 {
		must(m.t, os.Symlink(filepath.Join("..data", "doc"), m.path()))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type built struct{ text string }

func build(raw []byte, _ *built) (*built, error) {
	if string(raw) == "bad" {
		return nil, snapshot.Refuse("KeyMismatch", "not good")
	}
	return &built{string(raw)}, nil
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestFileKeepsTheLastGoodDocument(t *testing.T) {
	m := newMount(t)
	file := snapshot.Open(m.path(), build, quiet, time.Now)
	if file.Load() != nil || file.Refused() == nil || file.Refused().Reason != "Undecodable" {
		t.Fatalf("without a file: value %v, refusal %+v", file.Load(), file.Refused())
	}
	m.write("one")
	if !file.Reload() || file.Load().text != "one" || file.Refused() != nil {
		t.Fatalf("after the first document: %+v, refusal %+v", file.Load(), file.Refused())
	}
	if file.Reload() {
		t.Error("the same document counts as a change")
	}
	m.write("bad")
	if file.Reload() || file.Load().text != "one" {
		t.Errorf("a bad document replaced the good one: %+v", file.Load())
	}
	if r := file.Refused(); r == nil || r.Reason != "KeyMismatch" || r.Message != "not good" {
		t.Errorf("refusal = %+v", r)
	}
	must(t, os.Remove(m.path()))
	if file.Reload() || file.Load().text != "one" {
		t.Error("a deleted file took the document away")
	}
}

func TestRunFollowsTheSwappedLink(t *testing.T) {
	m := newMount(t)
	m.write("one")
	seen := make(chan string, 8)
	file := snapshot.Open(m.path(), func(raw []byte, current *built) (*built, error) {
		seen <- string(raw)
		return build(raw, current)
	}, quiet, time.Now)
	<-seen
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- file.Run(ctx) }()
	for _, text := range []string{"two", "three"} {
		m.write(text)
		select {
		case got := <-seen:
			if got != text {
				t.Fatalf("read %q, want %q", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q was never read", text)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}
