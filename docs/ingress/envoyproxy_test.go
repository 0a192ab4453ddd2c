//go:build envoy

package ingress_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// With the build tag the cases of the other proxies are those of a real Envoy, which must be on PATH:
//
//	go test -tags envoy -run Proxies -v ./docs/ingress
var envoyByGRPC, envoyByHTTP = envoyProxy("envoy", false), envoyProxy("envoy by HTTP", true)

func init() { proxies = []proxy{envoyByGRPC, envoyByHTTP} }

// envoyProxy asks again once where a connection that it kept breaks.
func envoyProxy(name string, byHTTP bool) proxy {
	return proxy{name: name, tries: 2, run: func(t *testing.T, at addresses) {
		t.Helper()
		path, err := exec.LookPath("envoy")
		if err != nil {
			t.Fatal("the build tag envoy asks for tests with a real Envoy, and there is no program envoy on PATH: put a release of it there (https://www.envoyproxy.io/docs/envoy/latest/start/install), or test without the tag")
		}
		dir := t.TempDir()
		file := filepath.Join(dir, "envoy.json")
		check(t, os.WriteFile(file, envoyConfiguration(t, at, byHTTP), 0o600))
		log, err := os.Create(filepath.Join(dir, "envoy.log"))
		check(t, err)
		cmd := exec.Command(path, "--config-path", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
		cmd.Stdout, cmd.Stderr = log, log
		p, err := process.Start(cmd)
		check(t, err)
		check(t, log.Close())
		t.Cleanup(func() { p.Kill() })
		for deadline := time.Now().Add(30 * time.Second); ; {
			conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", at.listen)
			if err == nil {
				check(t, conn.Close())
				return
			}
			said := func() string { text, _ := os.ReadFile(log.Name()); return string(text) }
			select {
			case <-p.Done():
				t.Fatalf("Envoy ended:\n%s", said())
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("Envoy does not listen: %v\n%s", err, said())
			}
		}
	}}
}
