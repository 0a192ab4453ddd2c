package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func write(t *testing.T, dir string, files map[string]volumeFile, wantChange bool) {
	t.Helper()
	changed, err := writeVolume(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	if changed != wantChange {
		t.Errorf("changed: %v, want %v", changed, wantChange)
	}
}

func file(s string, mode fs.FileMode) volumeFile { return volumeFile{[]byte(s), mode} }

func TestWriteVolume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	write(t, dir, map[string]volumeFile{"a": file("1", 0o644), "b": file("2", 0o400), "d/e": file("3", 0o644)}, true)
	for name, want := range map[string]struct {
		text string
		mode fs.FileMode
	}{"a": {"1", 0o644}, "b": {"2", 0o400}, "d/e": {"3", 0o644}} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(b) != want.text {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want.mode {
			t.Errorf("%s: mode %v, want %v (%v)", name, info.Mode(), want.mode, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "a")); err != nil || target != "..data/a" {
		t.Errorf("a leads to %q, %v", target, err)
	}
	first, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil || !strings.HasPrefix(first, "..20") {
		t.Errorf("..data leads to %q, %v", first, err)
	}

	write(t, dir, map[string]volumeFile{"a": file("1", 0o644), "b": file("2", 0o400), "d/e": file("3", 0o644)}, false)
	write(t, dir, map[string]volumeFile{"a": file("1", 0o600), "b": file("2", 0o400), "d/e": file("3", 0o644)}, true)
	write(t, dir, map[string]volumeFile{"a": file("new", 0o644)}, true)
	if _, err := os.Lstat(filepath.Join(dir, "b")); !os.IsNotExist(err) {
		t.Errorf("b is still there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "d")); !os.IsNotExist(err) {
		t.Errorf("d is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, first)); !os.IsNotExist(err) {
		t.Errorf("the first directory is still there: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // the directory, ..data and a
		t.Errorf("left over: %v, %v", entries, err)
	}
	write(t, dir, nil, true)
}

func TestWriteVolumeRefusesPathsOutside(t *testing.T) {
	for _, name := range []string{"../x", "/x", "..data", "a/../../x", ""} {
		if _, err := writeVolume(t.TempDir(), map[string]volumeFile{name: file("x", 0o644)}); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

// A reader that opens the directory behind ..data once sees two files of the same version.
func TestWriteVolumeIsAtomic(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]volumeFile{"a": file("0", 0o644), "b": file("0", 0o644)}, true)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// A missing path is no finding: the old directory may go while it is read.
			data, err := filepath.EvalSymlinks(filepath.Join(dir, "..data"))
			if err != nil {
				continue
			}
			a, errA := os.ReadFile(filepath.Join(data, "a"))
			b, errB := os.ReadFile(filepath.Join(data, "b"))
			if errA == nil && errB == nil && string(a) != string(b) {
				t.Errorf("a is %q and b is %q", a, b)
				return
			}
			if _, err := os.Readlink(filepath.Join(dir, "..data")); err != nil {
				t.Errorf("..data was away: %v", err)
				return
			}
		}
	})
	for i := range 300 {
		v := string(rune('a' + i%26))
		write(t, dir, map[string]volumeFile{"a": file(v, 0o644), "b": file(v, 0o644)}, true)
	}
	close(stop)
	wg.Wait()
}
