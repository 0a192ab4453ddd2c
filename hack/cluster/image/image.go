// Package image makes container images without a container tool: it compiles static programs and packs them into a
// tarball in the OCI image layout, which containerd, podman, skopeo and kind import.
//
//	go build ──▶ programs ──▶ one layer ──▶ config ──▶ manifest ──▶ index ──▶ name.tar
//
// An image is reproducible: the same programs give the same digest. No time, no user of this machine and no file order
// of its disk gets into it. It holds what the Dockerfile of this repository puts into its image: programs that need
// nothing else, and the number of a user who is not root.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// User is who the programs run as: the number that the Dockerfile names.
const User = "65532:65532"

// Media types of the OCI image specification 1.1.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
)

// Image is what goes into a tarball.
type Image struct {
	// Ref is the name under which the image is imported, with its tag.
	Ref string
	// Entrypoint is the command of a container that names none; it may be empty.
	Entrypoint []string
	// Files maps an absolute path in the image to the file of this machine that is copied there, executable for all.
	Files map[string]string
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type configuration struct {
	platform
	Created string `json:"created"`
	Config  struct {
		User       string   `json:"User"`
		Entrypoint []string `json:"Entrypoint,omitempty"`
		WorkingDir string   `json:"WorkingDir"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// Write writes the tarball and returns the digest of the image's manifest.
func (i Image) Write(w io.Writer) (digest string, err error) {
	layer, err := i.layer()
	if err != nil {
		return "", err
	}
	here := platform{Architecture: runtime.GOARCH, OS: "linux"}
	c := configuration{platform: here, Created: time.Unix(0, 0).UTC().Format(time.RFC3339)}
	c.Config.User, c.Config.Entrypoint, c.Config.WorkingDir = User, i.Entrypoint, "/"
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{digestOf(layer)}
	config, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	m, err := json.Marshal(manifest{SchemaVersion: 2, MediaType: typeManifest, Config: describe(typeConfig, config), Layers: []descriptor{describe(typeLayer, layer)}})
	if err != nil {
		return "", err
	}
	entry := describe(typeManifest, m)
	entry.Platform = &here
	entry.Annotations = map[string]string{"io.containerd.image.name": i.Ref, "org.opencontainers.image.ref.name": i.Ref}
	x, err := json.Marshal(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{entry}})
	if err != nil {
		return "", err
	}
	out := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		body []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", x},
		{blob(config), config},
		{blob(m), m},
		{blob(layer), layer},
	} {
		if err := add(out, f.name, 0o644, f.body); err != nil {
			return "", err
		}
	}
	return entry.Digest, out.Close()
}

// layer packs the directories and files, in the order of their names.
func (i Image) layer() ([]byte, error) {
	dirs := map[string]bool{}
	for name := range i.Files {
		if !path.IsAbs(name) || path.Clean(name) != name {
			return nil, fmt.Errorf("%q is no absolute path in the image", name)
		}
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := add(out, strings.TrimPrefix(dir, "/")+"/", fs.ModeDir|0o755, nil); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		body, err := os.ReadFile(i.Files[name])
		if err != nil {
			return nil, err
		}
		if err := add(out, strings.TrimPrefix(name, "/"), 0o755, body); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), out.Close()
}

func add(out *tar.Writer, name string, mode fs.FileMode, body []byte) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: int64(mode.Perm()), Size: int64(len(body)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if mode.IsDir() {
		header.Typeflag = tar.TypeDir
	}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write(body)
	return err
}

func describe(mediaType string, body []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: digestOf(body), Size: len(body)}
}

func digestOf(body []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(body)) }

func blob(body []byte) string { return fmt.Sprintf("blobs/sha256/%x", sha256.Sum256(body)) }
