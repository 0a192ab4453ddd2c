package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// childEnv makes the test binary the token service itself. It ends with its standard input, however the test ends.
const childEnv = "KEYTURN_TEST_TOKENSERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	main()
}

// spawn runs the command as a process of its own, on what dir has and on loopback ports of its own.
func spawn(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	p := &process{T: t, name: name, ended: make(chan error, 1)}
	cmd := exec.Command(os.Args[0], append([]string{"--snapshot", filepath.Join(dir, "snapshot"), "--identity-dir", filepath.Join(dir, "identity"),
		"--client-dir", filepath.Join(dir, "clients"),
		"--listen", ":0", "--internal-listen", ":0", "--feed-listen", ":0", "--instance", name, "--grace", "1s"}, args...)...)
	cmd.Env = append(os.Environ(), childEnv+"=1", "KEYTURN_BIND_ADDRESS=127.0.0.1")
	cmd.Stderr = &p.log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- cmd.Wait() }()
	p.cancel = func() { _ = cmd.Process.Signal(syscall.SIGTERM) }
	t.Cleanup(func() { p.stop(); _ = stdin.Close() })
	p.started()
	return p
}

// started waits until it listens.
func (p *process) started() {
	p.Helper()
	var started map[string]any
	p.until("started", func() bool { started = p.log.find("started"); return started != nil })
	p.public, p.internal, p.feed = started["listen"].(string), started["internal_listen"].(string), started["feed_listen"].(string)
}

// postFrom is post for a client at an address, as a trusted proxy reports it.
func (p *process) postFrom(ctx context.Context, client, path string, body map[string]string) (int, map[string]any, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.public+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", client)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	answer := map[string]any{}
	_ = json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer, nil
}

// introspect asks, as the client api, what a token is.
func (p *process) introspect(accessToken string) (code int, active bool) {
	p.Helper()
	request, err := http.NewRequestWithContext(p.Context(), http.MethodPost, "http://"+p.public+"/auth/introspect",
		strings.NewReader(url.Values{"token": {accessToken}}.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("api", clientSecret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	var answer struct{ Active bool }
	_ = json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer.Active
}

// get returns the code and the body of an answer of either port.
func (p *process) get(address, path string) (int, string) {
	p.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		p.Fatal(err)
	}
	return response.StatusCode, string(raw)
}
