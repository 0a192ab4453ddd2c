package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// withoutGoSettings is the environment without what tunes the Go runtime: both sides of a comparison start alike.
func withoutGoSettings(environment []string) []string {
	var kept []string
	for _, e := range environment {
		if name, _, _ := strings.Cut(e, "="); name != "GOGC" && name != "GOMEMLIMIT" && name != "GODEBUG" && name != roleEnv {
			kept = append(kept, e)
		}
	}
	return kept
}

// playing starts this program again in a role. Its standard output is to be read by the caller.
func playing(role string, args ...string) (cmd *exec.Cmd, out *os.File, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.Command(self, args...)
	cmd.Env = append(withoutGoSettings(os.Environ()), roleEnv+"="+role, "GOMEMLIMIT="+memoryLimit)
	cmd.Stdout, cmd.Stderr = in, os.Stderr
	return cmd, out, nil
}

// startRole starts a prepared role and closes our copy of its end of the pipe.
func startRole(cmd *exec.Cmd) (*process.Process, error) {
	p, err := process.Start(cmd)
	_ = cmd.Stdout.(*os.File).Close()
	return p, err
}

func (s *service) startNull() error {
	cmd, out, err := playing("null")
	if err != nil {
		return err
	}
	return s.listens(cmd, out)
}

// listens starts a role that says its address.
func (s *service) listens(cmd *exec.Cmd, out *os.File) (err error) {
	if s.Process, err = startRole(cmd); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	s.address = strings.TrimSpace(line)
	return err
}

// startPinned is startNull for a role on the core of what is measured.
func (s *service) startPinned(role string, args ...string) error {
	cmd, out, err := playing(role, args...)
	if err != nil {
		return err
	}
	if cmd, err = pinned(cmd, servedCore(), role); err != nil {
		return err
	}
	return s.listens(cmd, out)
}

// worker is the process that computes bare signatures and hashes.
type worker struct {
	*process.Process
	orders  io.Writer
	answers *bufio.Reader
}

func startCrypto() (*worker, error) {
	cmd, out, err := playing("crypto")
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdin = read
	p, err := startRole(cmd)
	_ = read.Close()
	if err != nil {
		return nil, err
	}
	return &worker{p, write, bufio.NewReader(out)}, nil
}

// compute does the work count times in so many goroutines.
func (w *worker) compute(work string, count, workers int) error {
	if _, err := fmt.Fprintln(w.orders, work, count, workers); err != nil {
		return err
	}
	if _, err := w.answers.ReadString('\n'); err != nil {
		return fmt.Errorf("the process that computes: %w", err)
	}
	return nil
}
