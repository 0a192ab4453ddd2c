package crashtest

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyturn/keyturn/internal/store/embedded"
)

// A disk that is full fails what would be stored, in bounded time, and nothing that was: the limit is that of the size
// of a file, which says no where the disk would.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	c := start(t, "", dir, "")
	before := c.must(c.login(), "a login before").body.Refresh
	info, err := os.Stat(filepath.Join(dir, embedded.FileName))
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(info.Size()), Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	var held []string // what was acknowledged on the way
	full := false
	for range 5000 {
		begun := time.Now()
		r := c.login()
		if r.status == http.StatusOK {
			held = append(held, r.body.Refresh)
			continue
		}
		if r.status != http.StatusServiceUnavailable || r.body.Code != "store_unavailable" || time.Since(begun) > 5*time.Second {
			t.Fatalf("a login on a full disk: %d %s after %s", r.status, r.body.Code, time.Since(begun))
		}
		full = true
		break
	}
	if !full {
		t.Fatal("the disk did not become full")
	}
	for name, ask := range map[string]func() reply{
		"login": c.login, "refresh": func() reply { return c.refresh(before) }, "logout": func() reply { return c.logout(before) },
	} {
		if r := ask(); r.status != http.StatusServiceUnavailable && r.status != http.StatusOK { // there may be room for a small one
			t.Errorf("%s on a full disk: %d %s", name, r.status, r.body.Code)
		}
	}
	if err := unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_FSIZE, &old, nil); err != nil {
		t.Fatal(err)
	}
	c.must(c.login(), "a login when there is room again")
	for _, text := range held {
		c.must(c.refresh(text), "a session that was acknowledged while the disk filled up")
	}
	c.stop()
}
