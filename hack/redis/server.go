package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/hack/port"
)

// startTimeout bounds how long a server may take until it accepts connections: many times longer than it takes on a machine
// with nothing else to do.
const startTimeout = time.Minute

// Durable are the directives of a server that forgets nothing it has acknowledged.
var Durable = []string{"appendonly yes", "appendfsync always"}

// Options say how a server runs. The zero value is one in memory only, without password.
type Options struct {
	// Directives are lines of redis.conf, such as "maxmemory 10mb".
	Directives []string
	// TLS is a directory with tls.crt, tls.key and ca.crt: the port speaks TLS only, and wants a client certificate of
	// that ca if ClientCertificates is set.
	TLS                string
	ClientCertificates bool

	sentinel bool
}

// Server is a server that runs, or that was stopped and can run again with the data it has.
type Server struct {
	// Port is its port on 127.0.0.1; Dir has its configuration, its data and its log.
	Port int
	Dir  string

	kept    *port.Kept // so that the port is its own while it is down, too
	program Program
	options Options
	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{} // closed when the process is gone
}

// Address is host:port.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Start runs a server with its files in dir and returns when it accepts connections.
func (p Program) Start(ctx context.Context, dir string, o Options) (*Server, error) {
	kept, err := port.Keep()
	if err != nil {
		return nil, err
	}
	s := &Server{Port: kept.Number(), Dir: filepath.Join(dir, strconv.Itoa(kept.Number())), kept: kept, program: p, options: o}
	if err := s.configure(); err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) configure() error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	lines := []string{
		"bind 127.0.0.1", "protected-mode no", "daemonize no", "dir " + s.Dir, "logfile server.log", "pidfile \"\"",
	}
	if s.options.TLS != "" {
		clients := "no"
		if s.options.ClientCertificates {
			clients = "yes"
		}
		lines = append(lines, "port 0", fmt.Sprint("tls-port ", s.Port), "tls-auth-clients "+clients,
			"tls-cert-file "+filepath.Join(s.options.TLS, "tls.crt"), "tls-key-file "+filepath.Join(s.options.TLS, "tls.key"),
			"tls-ca-cert-file "+filepath.Join(s.options.TLS, "ca.crt"))
	} else {
		lines = append(lines, fmt.Sprint("port ", s.Port))
	}
	if !s.options.sentinel {
		lines = append(lines, "save \"\"", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1")
	}
	lines = append(lines, s.options.Directives...)
	return os.WriteFile(filepath.Join(s.Dir, "server.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// Restart runs the server again on its port, with its data.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return errors.New("the server runs already")
	}
	args := []string{filepath.Join(s.Dir, "server.conf")}
	if s.options.sentinel {
		args = append(args, "--sentinel")
	}
	cmd := exec.Command(s.program.Path, args...) //nolint:gosec // found by Find
	cmd.Env = append(os.Environ(), s.program.Environment...)
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.program.Path, err)
	}
	s.process, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended stands in its log
		close(ended)
	}(s.ended)
	if err := s.accepting(ctx); err != nil {
		_ = cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("redis does not come up: %w\n%s", err, s.Log())
	}
	return nil
}

func (s *Server) running() bool {
	if s.process == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// accepting returns when the port is open; the server may still be reading its data then.
func (s *Server) accepting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s: %w", s.Address(), err)
		case <-tick.C:
		}
	}
}

// Log is what the server has logged.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "server.log"))
	return string(text)
}

// Stop ends the server in order, Kill at once, as a power failure does. Both return when it is gone; one that does not run
// stays as it is.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill is described at Stop.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pause stops the process without ending it: connections stay and nobody answers. Resume lets it go on.
func (s *Server) Pause() error { return s.process.Process.Signal(syscall.SIGSTOP) }

// Resume is described at Pause.
func (s *Server) Resume() error { return s.process.Process.Signal(syscall.SIGCONT) }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return
	}
	group := -s.process.Process.Pid // a server that writes its file anew has a child, which would go on writing
	if signal == syscall.SIGKILL {
		_ = syscall.Kill(group, signal)
	} else {
		_ = s.process.Process.Signal(signal) // it ends its child itself
	}
	_ = s.process.Process.Signal(syscall.SIGCONT) // it may be paused
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-s.ended
	}
}
