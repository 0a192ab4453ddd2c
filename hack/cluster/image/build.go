package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// Names of the images. Keyturn's is the one that config/manager deploys.
const (
	Keyturn = "ghcr.io/keyturn/keyturn:dev"
	Pause   = "keyturn.invalid/pause:dev"
)

// module is the import path of this repository: programs are named by it, so that Build works in any working
// directory of the repository.
const module = "github.com/keyturn/keyturn/"

// Built is a tarball on disk.
type Built struct{ Ref, Path, Digest string }

// Programs are the packages of Keyturn's image; each is the file of its last name in the image's root.
var Programs = []string{module + "cmd/manager", module + "cmd/tokenservice", module + "cmd/extauthz"}

// Build compiles Keyturn's programs from the repository at root and packs them into dir/keyturn.tar.
func Build(ctx context.Context, root, dir string) (Built, error) {
	return build(ctx, root, dir, "keyturn", Image{Ref: Keyturn}, Programs...)
}

// BuildPause compiles and packs the program that holds a pod's namespaces into dir/pause.tar.
func BuildPause(ctx context.Context, root, dir string) (Built, error) {
	return build(ctx, root, dir, "pause", Image{Ref: Pause, Entrypoint: []string{"/pause"}}, module+"hack/cluster/image/pause")
}

func build(ctx context.Context, root, dir, name string, i Image, packages ...string) (Built, error) {
	bin := filepath.Join(dir, name)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return Built{}, err
	}
	// The flags are those of the Dockerfile.
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=dev", "-o", bin + "/"}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Built{}, fmt.Errorf("compiling the programs of %s: %w\n%s", i.Ref, err, out)
	}
	i.Files = map[string]string{}
	for _, p := range packages {
		i.Files["/"+path.Base(p)] = filepath.Join(bin, path.Base(p))
	}
	built := Built{Ref: i.Ref, Path: filepath.Join(dir, name+".tar")}
	file, err := os.Create(built.Path)
	if err != nil {
		return Built{}, err
	}
	defer file.Close() //nolint:errcheck // closed below when it matters
	if built.Digest, err = i.Write(file); err != nil {
		return Built{}, fmt.Errorf("packing %s: %w", i.Ref, err)
	}
	return built, file.Close()
}
