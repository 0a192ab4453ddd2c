package binaries

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

const (
	publicIndex  = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
	probeLimit   = 2 * time.Second
	fetchLimit   = 90 * time.Second
	archiveLimit = 512 << 20
)

type archive struct {
	Hash     string `json:"hash"`
	SelfLink string `json:"selfLink"`
}

// fetch installs the newest published archive of our minor version. It gives up within two seconds
// where there is no way to the internet.
func (f Finder) fetch(ctx context.Context) error {
	index := f.IndexURL
	if index == "" {
		index = publicIndex
	}
	probe, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	resp, err := request(probe, http.MethodHead, index)
	if err != nil {
		return fmt.Errorf("the list of archives is out of reach (%w)", err)
	}
	resp.Body.Close()

	ctx, cancel = context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	name, a, err := newest(ctx, index)
	if err != nil {
		return err
	}
	fmt.Fprintf(f.Log, "fetching etcd, kube-apiserver and kubectl of Kubernetes %s from %s\n", name, a.SelfLink)
	resp, err = request(ctx, http.MethodGet, a.SelfLink)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return f.install(resp.Body, a.Hash)
}

func request(ctx context.Context, method, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return resp, nil
}

func newest(ctx context.Context, index string) (string, archive, error) {
	resp, err := request(ctx, http.MethodGet, index)
	if err != nil {
		return "", archive{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return "", archive{}, err
	}
	var list struct {
		Releases map[string]map[string]archive `json:"releases"`
	}
	if err := yaml.Unmarshal(b, &list); err != nil {
		return "", archive{}, fmt.Errorf("the list of archives is not understood: %w", err)
	}
	suffix := fmt.Sprintf("-%s-%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	var best *version.Version
	var chosen archive
	for release, files := range list.Releases {
		v, err := version.ParseSemantic(release)
		if err != nil || !strings.HasPrefix(release, minor()+".") || v.PreRelease() != "" || (best != nil && v.LessThan(best)) {
			continue
		}
		for file, a := range files {
			if strings.HasSuffix(file, suffix) {
				best, chosen = v, a
			}
		}
	}
	if best == nil {
		return "", archive{}, fmt.Errorf("no archive of %s for %s/%s is published", minor(), runtime.GOOS, runtime.GOARCH)
	}
	return "v" + best.String(), chosen, nil
}

// install unpacks into temporary files and renames them once the checksum of the whole is right.
func (f Finder) install(r io.Reader, hash string) error {
	if err := os.MkdirAll(f.fetched(), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(f.fetched(), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	sum := sha512.New()
	tee := io.TeeReader(io.LimitReader(r, archiveLimit), sum)
	if err := unpack(tee, tmp); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != hash {
		return errors.New("the archive's checksum does not match the published one")
	}
	for _, name := range archived {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(f.fetched(), name)); err != nil {
			return err
		}
	}
	return nil
}

func unpack(r io.Reader, dir string) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || !slices.Contains(archived, name) {
			continue
		}
		out, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, io.LimitReader(tr, archiveLimit))
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}
