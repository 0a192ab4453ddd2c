package identity

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// writeMount writes files as kubelet does: a new directory, then one rename of the link ..data.
func writeMount(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	fresh := filepath.Join(dir, version)
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	var log strings.Builder
	var logged sync.Mutex
	sources := NewSources(root, slog.New(slog.NewJSONHandler(lockedWriter{&logged, &log}, nil)), time.Now)
	d, err := New("", []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}}, sources, NewHasher(1, 10))
	if err != nil {
		t.Fatal(err)
	}
	login := func(password string) (User, error) {
		return d.Authenticate(t.Context(), "alice", secret.NewText(password))
	}
	if _, err := login("one"); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("without a file: %v", err)
	}
	dir := filepath.Join(root, "staff")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	running.Go(func() { _ = sources.Run(ctx) })
	defer running.Wait()
	defer stop()

	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 20 s: %s", what)
			}
		}
	}
	writeMount(t, dir, "v1", map[string]string{"htpasswd": "alice:" + bcryptOf(t, "one")})
	until("the first file", func() bool { u, err := login("one"); return err == nil && u.Role == "" })
	writeMount(t, dir, "v2", map[string]string{"htpasswd": "alice:" + bcryptOf(t, "two"), "roles": "alice: admin"})
	until("the new password and role", func() bool { u, err := login("two"); return err == nil && u.Role == "admin" })
	writeMount(t, dir, "v3", map[string]string{"htpasswd": "alice:" + bcryptOf(t, "three") + "\nbroken:canary-hash", "roles": "alice: user"})
	until("the new role", func() bool {
		u, err := d.Lookup(ctx, User{Subject: "alice", Name: "alice", Source: "staff"})
		return err == nil && u.Role == "user"
	})
	if _, err := login("two"); err != nil {
		t.Errorf("the old list must stay after a bad one: %v", err)
	}
	until("a report of the bad line", func() bool {
		logged.Lock()
		defer logged.Unlock()
		return strings.Contains(log.String(), "line 2")
	})
	logged.Lock()
	defer logged.Unlock()
	if strings.Contains(log.String(), "canary-hash") {
		t.Error("the log quotes the file")
	}
}

// Who is taken out of the lists is out at once, without a restart.
func TestFilesTakenAway(t *testing.T) {
	root := t.TempDir()
	sources := NewSources(root, slog.New(slog.DiscardHandler), time.Now)
	d, err := New("", []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}}, sources, NewHasher(1, 10))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	running.Go(func() { _ = sources.Run(ctx) })
	defer running.Wait()
	defer stop()
	alice := "alice:" + bcryptOf(t, "one")
	// One volume with a folder a source, as a projected volume has it.
	swap := func(version string, content map[string]string) {
		t.Helper()
		fresh := filepath.Join(root, version, "staff")
		if err := os.MkdirAll(fresh, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range content {
			if err := os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := errors.Join(os.Symlink(version, filepath.Join(root, "..tmp")), os.Rename(filepath.Join(root, "..tmp"), filepath.Join(root, "..data")))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", "staff"), filepath.Join(root, "staff")); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	var took []time.Duration
	role := func(want string, wantErr error) {
		t.Helper()
		begun := time.Now()
		for deadline := begun.Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			u, err := d.Lookup(ctx, User{Subject: "alice", Name: "alice", Source: "staff"})
			if errors.Is(err, wantErr) && u.Role == want {
				took = append(took, time.Since(begun))
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("role %q, %v; want %q, %v", u.Role, err, want, wantErr)
			}
		}
	}
	swap("v1", map[string]string{"htpasswd": alice, "roles": "alice: admin"})
	role("admin", nil)
	swap("v2", map[string]string{"htpasswd": alice})
	role("", nil)
	swap("v3", map[string]string{"htpasswd": alice, "roles": ""})
	role("", nil)
	swap("v4", map[string]string{"htpasswd": alice, "roles": "alice: admin"})
	role("admin", nil)
	swap("v5", map[string]string{"roles": "alice: admin"})
	role("", ErrUnavailable)
	swap("v6", map[string]string{"htpasswd": alice, "roles": "alice: user"})
	role("user", nil)
	// From one poll, by which a change would have come, to the next is two seconds. The third change changes nothing here.
	changes := slices.Concat(took[1:2], took[3:])
	if slices.Sort(changes); changes[len(changes)/2-1] > time.Second {
		t.Errorf("changes took %s: most came by the poll and not by notifications", changes)
	}
}

type lockedWriter struct {
	mu  *sync.Mutex
	out *strings.Builder
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}
