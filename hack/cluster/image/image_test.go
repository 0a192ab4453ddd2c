package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample(t *testing.T, body string) Image {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	return Image{Ref: "example.com/x:1", Entrypoint: []string{"/opt/b"}, Files: map[string]string{"/a": file, "/opt/b": file}}
}

func write(t *testing.T, i Image) (string, []byte) {
	t.Helper()
	var b bytes.Buffer
	digest, err := i.Write(&b)
	if err != nil {
		t.Fatal(err)
	}
	return digest, b.Bytes()
}

// Neither the time nor the mode of a file on this machine may get into the image; its content must.
func TestSameContentSameDigest(t *testing.T) {
	one, other := sample(t, "program"), sample(t, "program")
	long := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, file := range other.Files {
		if err := errors.Join(os.Chtimes(file, long, long), os.Chmod(file, 0o444)); err != nil {
			t.Fatal(err)
		}
	}
	a, x := write(t, one)
	b, y := write(t, other)
	if a != b || !bytes.Equal(x, y) {
		t.Errorf("digests %s and %s, tarballs equal: %v", a, b, bytes.Equal(x, y))
	}
	if c, _ := write(t, sample(t, "another program")); c == a {
		t.Error("another program has the same digest")
	}
}

func TestTwoBuildsGiveTheSameDigest(t *testing.T) {
	var digests [2]string
	for i := range digests {
		built, err := BuildPause(t.Context(), ".", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = built.Digest
	}
	if digests[0] != digests[1] || !strings.HasPrefix(digests[0], "sha256:") {
		t.Errorf("digests %v", digests)
	}
}

// Every blob is named by its content, and what the specification links is there.
func TestLayout(t *testing.T) {
	digest, tarball := write(t, sample(t, "program"))
	blobs := unpack(t, tarball)
	var x index
	if err := json.Unmarshal(blobs["index.json"], &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Manifests) != 1 || x.Manifests[0].Digest != digest || x.Manifests[0].Annotations["io.containerd.image.name"] != "example.com/x:1" {
		t.Fatalf("index %+v", x)
	}
	read := func(d descriptor) []byte {
		b := blobs["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		if len(b) != d.Size || digestOf(b) != d.Digest {
			t.Fatalf("%+v: %d bytes, digest %s", d, len(b), digestOf(b))
		}
		return b
	}
	var m manifest
	if err := json.Unmarshal(read(x.Manifests[0]), &m); err != nil {
		t.Fatal(err)
	}
	var c configuration
	if err := json.Unmarshal(read(m.Config), &c); err != nil {
		t.Fatal(err)
	}
	if c.Config.User != User || c.OS != "linux" || len(c.RootFS.DiffIDs) != 1 || c.RootFS.DiffIDs[0] != m.Layers[0].Digest {
		t.Errorf("configuration %+v", c)
	}
	if files := unpack(t, read(m.Layers[0])); string(files["opt/b"]) != "program" || string(files["a"]) != "program" || len(files) != 3 {
		t.Errorf("files %v", files)
	}
}

func unpack(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || !header.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%+v tells of this machine", header)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadPathsAreRefused(t *testing.T) {
	for _, name := range []string{"relative", "/a/../b", ""} {
		if _, err := (Image{Files: map[string]string{name: os.DevNull}}).Write(io.Discard); err == nil {
			t.Errorf("%q was packed", name)
		}
	}
}
