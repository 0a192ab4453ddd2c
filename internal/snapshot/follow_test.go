package snapshot

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func text(raw []byte, _ *string) (*string, error) {
	s := string(raw)
	return &s, nil
}

func good(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForgetMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roles")
	file := Open(path, text, slog.New(slog.DiscardHandler), time.Now, ForgetMissing())
	good(t, os.WriteFile(path, nil, 0o600))
	if !file.Reload() || file.Load() == nil {
		t.Fatal("an empty file is not a missing one")
	}
	good(t, os.WriteFile(path, []byte("alice: admin"), 0o600))
	file.Reload()
	good(t, os.Remove(path))
	if !file.Reload() || file.Load() != nil || file.Refused() == nil {
		t.Error("the value outlives its file")
	}
	good(t, os.WriteFile(path, []byte("alice: admin"), 0o600))
	if !file.Reload() || file.Load() == nil || file.Refused() != nil {
		t.Error("the same content was not taken when it came back")
	}
}

// follow runs a file without its poll, so that only notifications can bring news.
func follow(t *testing.T, file *File[string]) {
	t.Helper()
	file.poll = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := file.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A volume with folders: the link that kubelet swaps is in the directory above the file's, which is a link itself.
func TestRunSeesASwapAboveTheFolder(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "staff", "htpasswd")
	file := Open(path, text, slog.New(slog.DiscardHandler), time.Now, ForgetMissing(), Watching(root))
	follow(t, file)
	holds := func(want string) func() bool {
		return func() bool { v := file.Load(); return v != nil && *v == want }
	}
	last := ""
	for i := range 5 {
		version := "..v" + strconv.Itoa(i)
		good(t, os.MkdirAll(filepath.Join(root, version, "staff"), 0o700))
		good(t, os.WriteFile(filepath.Join(root, version, "staff", "htpasswd"), []byte(version), 0o600))
		good(t, os.Symlink(version, filepath.Join(root, "..tmp")))
		good(t, os.Rename(filepath.Join(root, "..tmp"), filepath.Join(root, "..data")))
		if i == 0 {
			good(t, os.Symlink(filepath.Join("..data", "staff"), filepath.Join(root, "staff")))
		}
		until(t, version, holds(version))
		if last != "" {
			good(t, os.RemoveAll(filepath.Join(root, last)))
		}
		last = version
	}
	good(t, os.Remove(filepath.Join(root, "staff")))
	until(t, "the folder is gone", func() bool { return file.Load() == nil })
}

// A node without a free inotify instance costs time and not the service.
func TestRunWithoutAWatcher(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc")
	var log bytes.Buffer
	file := Open(path, text, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})), time.Now)
	file.newWatcher = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
	file.poll = time.Millisecond
	log.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- file.Run(ctx) }()
	good(t, os.WriteFile(path+".new", []byte("one"), 0o600))
	good(t, os.Rename(path+".new", path))
	until(t, "the document by the poll", func() bool { return file.Load() != nil })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
	if n := strings.Count(log.String(), "snapshot_watch_failed"); n != 1 {
		t.Errorf("said %d times that nothing is watched:\n%s", n, log.String())
	}
}
