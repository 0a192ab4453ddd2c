package agent

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// volumeFile is one file of a mounted Secret, ConfigMap or projection.
type volumeFile struct {
	data []byte
	mode fs.FileMode
}

const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
)

// writeVolume makes dir show exactly the files, whose names are relative paths, and says whether that
// changed anything. It writes as the kubelet does, so that programs that watch for its pattern work:
//
//	dir/..2026_11_21_10_00_00.123456789/key     the files, in a new directory
//	dir/..data -> ..2026_…                      swapped by one rename: readers see all old or all new
//	dir/key -> ..data/key                       stays the same while the key exists
func writeVolume(dir string, files map[string]volumeFile) (changed bool, err error) {
	for name := range files {
		if !filepath.IsLocal(name) || strings.HasPrefix(name, "..") {
			return false, fmt.Errorf("%q cannot be the path of a file in a volume", name)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err == nil && sameFiles(filepath.Join(dir, old), files) {
		return false, nil
	}
	fresh, err := writeFresh(dir, files)
	if err != nil {
		return false, err
	}
	link := filepath.Join(dir, newDataLink)
	_ = os.Remove(link)
	if err := os.Symlink(filepath.Base(fresh), link); err != nil {
		return false, err
	}
	if err := os.Rename(link, filepath.Join(dir, dataLink)); err != nil {
		return false, err
	}
	if err := linkNames(dir, files); err != nil {
		return false, err
	}
	if old != "" {
		err = os.RemoveAll(filepath.Join(dir, old))
	}
	return true, err
}

func writeFresh(dir string, files map[string]volumeFile) (string, error) {
	fresh, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return "", err
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return "", err
	}
	for name, f := range files {
		p := filepath.Join(fresh, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(p, f.data, f.mode); err != nil {
			return "", err
		}
		if err := os.Chmod(p, f.mode); err != nil { // the umask took its share
			return "", err
		}
	}
	return fresh, nil
}

// linkNames makes the visible links and removes those whose file is gone.
func linkNames(dir string, files map[string]volumeFile) error {
	wanted := map[string]bool{}
	for name := range files {
		first, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		wanted[first] = true
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		link := filepath.Join(dir, name)
		if target, err := os.Readlink(link); err == nil && target == filepath.Join(dataLink, name) {
			continue
		}
		if err := os.Symlink(filepath.Join(dataLink, name), link); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 && !strings.HasPrefix(e.Name(), "..") && !wanted[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameFiles(dir string, files map[string]volumeFile) bool {
	seen := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want, ok := files[name]
		data, err := os.ReadFile(p)
		if err != nil || !ok || info.Mode().Perm() != want.mode.Perm() || !bytes.Equal(data, want.data) {
			return fs.ErrInvalid
		}
		seen++
		return nil
	})
	return err == nil && seen == len(files)
}
