package debian_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/hack/debian"
)

// Two callers at once, then a third: one download, a program that runs, no rubbish beside it.
func TestUnpack(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs apt-get")
		}
		t.Skip("SKIPPED: this machine has no apt-get, so hack/debian is not tested here")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "redis")
	var told bytes.Buffer
	var mu sync.Mutex
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			var progress bytes.Buffer
			if err := debian.Unpack(t.Context(), root, &progress, "redis-server", "redis-tools"); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			told.Write(progress.Bytes())
		})
	}
	both.Wait()
	if n := strings.Count(told.String(), "nothing is installed"); n != 1 {
		t.Fatalf("unpacked %d times, want once:\n%s", n, told.String())
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/redis-server"), "--version")
	cmd.Env = append(os.Environ(), debian.Environment(root)...)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("server")) {
		t.Errorf("the program does not run: %v: %s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := debian.Unpack(t.Context(), filepath.Join(dir, "none"), &told, "keyturn-no-such-package"); err == nil {
		t.Error("a package that does not exist was unpacked")
	} else if !strings.Contains(err.Error(), "keyturn-no-such-package") {
		t.Errorf("the error does not say what is missing: %v", err)
	}
}
