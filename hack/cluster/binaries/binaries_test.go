package binaries

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func program(t *testing.T, dir, name string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOrderOfSources(t *testing.T) {
	f := Finder{Assets: t.TempDir(), Cache: t.TempDir(), IndexURL: "-"}
	etcd := program(t, f.Assets, Etcd)
	program(t, f.built(), Etcd)
	server := program(t, f.built(), APIServer)
	program(t, f.fetched(), APIServer)
	kubectl := program(t, f.fetched(), Kubectl)

	got, err := f.Ensure(t.Context(), Etcd, APIServer, Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{Etcd: etcd, APIServer: server, Kubectl: kubectl} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	dir, err := f.Directory(t.Context(), Etcd, APIServer, Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range got {
		if target, err := os.Readlink(filepath.Join(dir, name)); err != nil || target != want {
			t.Errorf("%s in the common directory leads to %q (%v), want %s", name, target, err, want)
		}
	}
}

func TestOneSourceNeedsNoLinks(t *testing.T) {
	f := Finder{Assets: t.TempDir(), Cache: t.TempDir(), IndexURL: "-"}
	program(t, f.Assets, Etcd)
	if dir, err := f.Directory(t.Context(), Etcd); err != nil || dir != f.Assets {
		t.Errorf("directory %q, %v; want %s", dir, err, f.Assets)
	}
}

func TestUnknownProgramIsRefused(t *testing.T) {
	if _, err := (Finder{}).Ensure(t.Context(), "kube-nothing"); err == nil {
		t.Error("no error")
	}
}

func tarball(t *testing.T) ([]byte, string) {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for _, name := range archived {
		body := "program " + name
		if err := tw.WriteHeader(&tar.Header{Name: "controller-tools/envtest/" + name, Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	gz.Close()
	sum := sha512.Sum512(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:])
}

func TestFetch(t *testing.T) {
	body, sum := tarball(t)
	for _, tt := range []struct {
		name, hash string
		ok         bool
	}{
		{"right checksum", sum, true},
		{"wrong checksum", strings.Repeat("0", 128), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mux := http.NewServeMux()
			srv := httptest.NewServer(mux)
			defer srv.Close()
			mux.HandleFunc("/index", func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, "releases:\n")
				for _, v := range []string{minor() + ".0", minor() + ".2", "v1.99.0", minor() + ".9-rc.1"} {
					fmt.Fprintf(w, "  %s:\n    envtest-%s-%s-%s.tar.gz: {hash: %q, selfLink: \"%s/%s\"}\n", v, v, runtime.GOOS, runtime.GOARCH, tt.hash, srv.URL, v)
				}
			})
			mux.HandleFunc("/"+minor()+".2", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
			f := Finder{Cache: t.TempDir(), Assets: t.TempDir(), IndexURL: srv.URL + "/index", Log: t.Output()}
			err := f.fetch(t.Context())
			if (err == nil) != tt.ok {
				t.Fatalf("error %v, want success: %v", err, tt.ok)
			}
			found, _ := f.look(archived)
			if tt.ok != (len(found) == len(archived)) {
				t.Errorf("installed: %v", found)
			}
		})
	}
}

func TestLockWaitsAndGivesUpWithItsContext(t *testing.T) {
	f := Finder{Cache: t.TempDir(), Log: t.Output()}
	unlock, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.lock(ctx); err == nil {
		t.Error("the lock was given twice")
	}
	unlock()
	again, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// The version that is stamped must be the one that is pinned.
func TestVersionIsThatOfTheModule(t *testing.T) {
	dir, err := moduleDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), fmt.Sprintf("\"Path\": \"k8s.io/kubernetes\",\n\t\t\t\"Version\": %q", Version)) {
		t.Errorf("hack/cluster/kubernetes does not require k8s.io/kubernetes %s", Version)
	}
}
