// Package daemon runs a server program as an unprivileged process for tests.
package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Program is a server program and where it runs.
type Program struct {
	Name string   // it writes into the file <Name>.log of Dir
	Path string   // of the executable
	Args []string // its arguments
	Dir  string   // its working directory, which holds its configuration
	// Listen is the host:port on which it accepts connections once it is up.
	Listen string
	// Quit asks it to end; the zero value stands for SIGTERM.
	Quit syscall.Signal
}

// Server is a running program.
type Server struct {
	cmd   *exec.Cmd
	quit  syscall.Signal
	ended chan struct{} // closed when the process is gone
}

// Start runs the program and returns when it accepts connections. It ends with Stop, and with this process however that ends.
func (p Program) Start(ctx context.Context) (*Server, error) {
	logName := filepath.Join(p.Dir, p.Name+".log")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+p.Dir, "XDG_DATA_HOME="+p.Dir, "XDG_CONFIG_HOME="+p.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	s := &Server{cmd: cmd, quit: p.Quit, ended: make(chan struct{})}
	if s.quit == 0 {
		s.quit = syscall.SIGTERM
	}
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(s.ended)
	}()
	if err := s.accepting(ctx, p.Listen); err != nil {
		s.Stop()
		text, _ := os.ReadFile(logName)
		return nil, fmt.Errorf("%s does not come up: %w\n%s", p.Name, err, text)
	}
	return s, nil
}

func (s *Server) accepting(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listen)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s: %w", listen, err)
		case <-tick.C:
		}
	}
}

// Stop ends the program and waits for it.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(s.quit)
	select {
	case <-s.ended:
	case <-time.After(3 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}
