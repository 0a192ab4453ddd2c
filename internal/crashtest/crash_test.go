package crashtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	postgresserver "github.com/keyturn/keyturn/hack/postgres"
	redisserver "github.com/keyturn/keyturn/hack/redis"
)

// rounds is how often the service dies at each point.
func rounds(few int) int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return 100
	}
	return few
}

// backend is a kind of store, and how a test gets an empty one: its URL and the directory that goes with it.
type backend struct {
	name string
	few  int
	new  func(t *testing.T) (url, dir string)
}

var backends = []backend{
	{"embedded", 10, func(t *testing.T) (string, string) { return "", t.TempDir() }},
	{"redis", 2, func(t *testing.T) (string, string) {
		program, err := redisserver.Find(t.Context(), os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		server, err := program.Start(t.Context(), t.TempDir(), redisserver.Options{Directives: redisserver.Durable})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Stop)
		return "redis://" + server.Address(), t.TempDir()
	}},
	{"postgres", 2, func(t *testing.T) (string, string) {
		server, err := postgresserver.Start(t.Context(), postgresserver.Options{Log: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Stop)
		name, err := server.NewDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, file := range []string{"username", "password"} { // the role of a new database is named like it
			if err := os.WriteFile(filepath.Join(dir, file), []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return "postgres://" + server.Address() + "/" + name + "?sslmode=disable", dir
	}},
}

// child is a running token service.
type child struct {
	*testing.T
	cmd *exec.Cmd
	url string
}

func start(t *testing.T, url, dir string, at point) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envStore+"="+url, envDir+"="+dir, envPoint+"="+string(at))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the token service does not come up: %v", err)
	}
	return &child{T: t, cmd: cmd, url: "http://" + strings.TrimSpace(line)}
}

// stop ends the child in order.
func (c *child) stop() {
	c.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		c.Fatalf("the token service did not end well: %v", err)
	}
}

// died waits for the child's death and fails unless it was killed.
func (c *child) died(at point) {
	c.Helper()
	err := c.cmd.Wait()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		c.Fatalf("%s was not reached: %v", at, err)
	}
}

// reply is what a client saw: the status, 0 if not even that came, and the body if it came whole.
type reply struct {
	status int
	whole  bool
	body   struct {
		Refresh    string `json:"refresh_token"`
		Code       string `json:"code"`
		Propagated bool   `json:"propagated"`
	}
}

func (c *child) post(operation string, members map[string]string) reply {
	c.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		c.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var r reply
	response, err := client.Post(c.url+"/auth/"+operation, "application/json", bytes.NewReader(raw))
	if err != nil {
		return r
	}
	defer response.Body.Close() //nolint:errcheck // only read
	r.status = response.StatusCode
	text, err := io.ReadAll(response.Body)
	r.whole = err == nil && json.Unmarshal(text, &r.body) == nil
	return r
}

func (c *child) login() reply {
	return c.post("login", map[string]string{"username": username, "password": password})
}

func (c *child) refresh(text string) reply {
	return c.post("refresh", map[string]string{"refresh_token": text})
}

func (c *child) logout(text string) reply {
	return c.post("logout", map[string]string{"refresh_token": text})
}

func (c *child) must(r reply, what string) reply {
	c.Helper()
	if r.status != http.StatusOK || !r.whole {
		c.Fatalf("%s: %d %s", what, r.status, r.body.Code)
	}
	return r
}

// TestKilled kills the service at every point, in rounds on one store that grows.
func TestKilled(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			url, dir := b.new(t)
			for _, at := range points {
				t.Run(strings.ReplaceAll(string(at), "/", "_"), func(t *testing.T) { killed(t, url, dir, at, rounds(b.few)) })
			}
		})
	}
}

func killed(t *testing.T, url, dir string, at point, rounds int) {
	t.Helper()
	operation, _, _ := strings.Cut(string(at), "/")
	calm := start(t, url, dir, "")
	before := calm.must(calm.login(), "a login before").body.Refresh
	for range rounds {
		given := calm.must(calm.login(), "a login").body.Refresh
		calm.stop()
		armed := start(t, url, dir, at)
		seen := map[string]func(string) reply{
			"login": func(string) reply { return armed.login() }, "refresh": armed.refresh, "logout": armed.logout,
		}[operation](given)
		armed.died(at)
		calm = start(t, url, dir, "")
		after[operation](calm, given, seen)
		before = calm.must(calm.refresh(before), "a session that had no part in it").body.Refresh
	}
	calm.stop()
}

// after is what must hold for the client when the service is back.
var after = map[string]func(c *child, given string, seen reply){
	"login": func(c *child, _ string, seen reply) {
		c.Helper()
		if seen.whole {
			c.must(c.refresh(seen.body.Refresh), "the tokens that a login gave")
		}
		c.must(c.login(), "a login after the death")
	},
	"refresh": func(c *child, given string, seen reply) {
		c.Helper()
		again := c.must(c.refresh(given), "the old token again after a refresh that was cut off").body.Refresh
		if seen.whole && again != seen.body.Refresh {
			c.Fatal("two live chains: the answer that came had another successor")
		}
		c.must(c.refresh(again), "the successor")
	},
	"logout": func(c *child, given string, seen reply) {
		c.Helper()
		if seen.status != http.StatusOK {
			c.must(c.logout(given), "a logout again")
		}
		if r := c.refresh(given); r.status != http.StatusUnauthorized || r.body.Code != "session_revoked" {
			c.Fatalf("after a logout that was acknowledged: %d %s, want 401 session_revoked", r.status, r.body.Code)
		}
	},
}
