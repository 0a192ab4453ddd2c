// Package e2e holds the tests of the whole: a real API server, the operator as config/ deploys it, the data plane as
// real processes, a real nginx as docs/ingress documents it. All tests share one stage and run one after another; each
// leaves it as it found it.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/stage"
)

// theStage is what all tests stand on.
var theStage *stage.Stage

// secretsSeen collects every secret that a test meets, for the canary test.
var secretsSeen canaries

type canaries struct {
	mu   sync.Mutex
	seen map[string]string
}

// add remembers a secret. An empty one is none: a login that begins a session of the old application brings no tokens.
func (c *canaries) add(what, secret string) {
	if secret == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]string{}
	}
	c.seen[secret] = what
}

// Log keeps what the stage tells, for the canary test too.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var (
	stageLog logBuffer
	stageDir string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	root, err := filepath.Abs("../..")
	if err == nil {
		stageDir, err = os.MkdirTemp("", "keyturn-e2e-")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	theStage, err = stage.Set(ctx, stage.Options{
		Root: root, Dir: stageDir, Progress: os.Stderr, Log: &stageLog,
		// Ten logins a minute from one address are for people; the tests are one address and many users.
		Samples: func(manifests string) string { return strings.ReplaceAll(manifests, "limit: 10\n", "limit: 10000\n") },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	code := m.Run()
	if err := theStage.Strike(); err != nil {
		fmt.Fprintln(os.Stderr, "strike the stage:", err)
		code = 1
	}
	if code == 0 {
		err = os.RemoveAll(stageDir)
	} else {
		fmt.Fprintln(os.Stderr, "logs are in", stageDir)
	}
	if err != nil {
		return 1
	}
	return code
}

const (
	alice         = "alice"
	alicePassword = "sample-password-alice"
	bob           = "bob"
	bobPassword   = "sample-password-bob"
)

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// login logs in and remembers the tokens as secrets.
func login(t *testing.T, user *stage.User, name, password string) stage.Tokens {
	t.Helper()
	tokens, answer, err := user.Login(t.Context(), name, password)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("login of %s: status %d %s, error %v", name, answer.Status, answer.Code(), err)
	}
	remember(tokens)
	return tokens
}

func remember(tokens stage.Tokens) {
	secretsSeen.add("refresh token", tokens.Refresh)
	secretsSeen.add("access token", tokens.Access)
	if i := strings.LastIndexByte(tokens.Access, '.'); i > 0 {
		secretsSeen.add("signature of an access token", tokens.Access[i+1:])
	}
}

func wantAnswer(t *testing.T, what string, answer stage.Answer, err error, status int, code string) {
	t.Helper()
	if err != nil || answer.Status != status || answer.Code() != code {
		t.Errorf("%s: status %d code %q (error %v), want %d %q; body %s", what, answer.Status, answer.Code(), err, status, code, answer.Body)
	}
}

// metricsOf reads a URL for the canary test.
func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return string(raw), err
}
