package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/revocation"
	redisstore "github.com/keyturn/keyturn/internal/store/redis"
)

// TestRedisUser gives a real server the user and the directives of admin-guide.md: the store works with these rights,
// hears of revocations, and gets at nothing else.
func TestRedisUser(t *testing.T) {
	page, err := os.ReadFile("admin-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "    ACL SETUSER ")
	line, _, _ := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("admin-guide.md has no ACL SETUSER line")
	}
	line = strings.NewReplacer("PASSWORD", "sample", "NAMESPACE", "demo", "NAME", "web").Replace(line)
	program, err := redis.Find(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	server, err := program.Start(t.Context(), t.TempDir(), redis.Options{Directives: directives(t, string(page))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	admin := goredis.NewClient(&goredis.Options{Addr: server.Address()})
	t.Cleanup(func() { _ = admin.Close() })
	command := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(line) {
		command = append(command, word)
	}
	if err := admin.Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "default", "off").Err(); err != nil {
		t.Fatal(err)
	}
	useAsKeyturn(t, server.Address())
	other := goredis.NewClient(&goredis.Options{Addr: server.Address(), Username: "keyturn", Password: "sample"})
	t.Cleanup(func() { _ = other.Close() })
	for _, forbidden := range [][]any{{"GET", "somebody-elses"}, {"FLUSHALL"}, {"CONFIG", "SET", "appendonly", "no"}, {"KEYS", "*"}} {
		if err := other.Do(t.Context(), forbidden...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%v: %v", forbidden, err)
		}
	}
}

// directives are the block of the page, without its remarks.
func directives(t *testing.T, page string) []string {
	t.Helper()
	_, rest, found := strings.Cut(page, "    appendonly yes")
	if !found {
		t.Fatal("admin-guide.md has no block that begins with appendonly yes")
	}
	block, _, _ := strings.Cut("    appendonly yes"+rest, "\n\n")
	var out []string
	for line := range strings.Lines(block) {
		setting, _, _ := strings.Cut(line, "#")
		out = append(out, strings.TrimSpace(setting))
	}
	return out
}

// useAsKeyturn opens the store with the user's password from a directory, and does what needs each kind of right.
func useAsKeyturn(t *testing.T, address string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"username": "keyturn", "password": "sample\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := redisstore.ParseURL("redis://"+address+"/0?prefix=keyturn/demo/web", dir, "")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := redisstore.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	heard, stop := opened.Subscribe()
	defer stop()
	now := time.Now()
	if _, err := opened.Take(t.Context(), "address", 10, time.Minute, now); err != nil {
		t.Errorf("a limit: %v (%s)", err, opened.Reason())
	}
	if _, err := opened.Append(t.Context(), "", revocation.Entry{Kind: revocation.All, Expires: now.Add(time.Hour)}); err != nil {
		t.Errorf("a revocation: %v (%s)", err, opened.Reason())
	}
	select {
	case <-heard:
	case <-time.After(20 * time.Second):
		t.Errorf("nothing was heard of the revocation (%s)", opened.Reason())
	}
}
