package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// workshop builds the tests and runs them.
type workshop struct {
	dir   string            // of the tests' programs
	cache string            // where go test -fuzz keeps the inputs that reached new code
	built map[string]string // programs, by what they are made of
}

func newWorkshop(ctx context.Context) (*workshop, error) {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	dir, err := os.MkdirTemp("", "keyturn-fuzz-")
	return &workshop{dir: dir, cache: filepath.Join(strings.TrimSpace(string(cache)), "fuzz"), built: map[string]string{}}, err
}

func (w *workshop) close() { _ = os.RemoveAll(w.dir) }

// inputs is where the inputs of the package's targets are, each in a directory of its own.
func (w *workshop) inputs(t target) string { return filepath.Join(w.cache, filepath.FromSlash(t.pkg)) }

// build makes the program with the tests of the target's package, in which what is watched has counters.
func (w *workshop) build(ctx context.Context, t target) (string, error) {
	made := t.pkg + " " + strings.Join(t.with, " ")
	if program, done := w.built[made]; done {
		return program, nil
	}
	program := filepath.Join(w.dir, strconv.Itoa(len(w.built))+".test")
	args := []string{"test", "-c", "-o", program, "-gcflags=" + t.pkg + "=-d=libfuzzer"}
	for _, pkg := range t.with {
		args = append(args, "-gcflags="+pkg+"=-d=libfuzzer")
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, t.pkg)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", t.pkg, err, out)
	}
	w.built[made] = program
	return program, nil
}

// result is what came of a run.
type result struct {
	target                  target
	executions, interesting int
	took, cpu               time.Duration // cpu is of all processes
	tail                    string        // the last lines of its output
	err                     error
}

// run fuzzes the target for n executions.
func (w *workshop) run(ctx context.Context, t target, n, parallel int, p *progress) result {
	program, err := w.build(ctx, t)
	if err != nil {
		return result{target: t, err: err}
	}
	started := time.Now()
	r := fuzzed(command(ctx, program, t, w.inputs(t), n, parallel), p.tell)
	r.target, r.took = t, time.Since(started)
	if r.err == nil && r.executions < n {
		r.err = fmt.Errorf("it ended after %d executions", r.executions)
	}
	return r
}

func command(ctx context.Context, program string, t target, inputs string, n, parallel int) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.fuzz", "^"+t.function+"$", "-test.fuzztime", strconv.Itoa(n)+"x", "-test.fuzzminimizetime", "1000x",
		"-test.parallel", strconv.Itoa(parallel), "-test.fuzzcachedir", inputs, "-test.timeout", "0")
	cmd.Dir = t.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // its workers too
	return cmd
}

var counts = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+)`)

// fuzzed waits for the run and reads what it prints.
func fuzzed(cmd *exec.Cmd, tell func(executions int)) (r result) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return result{err: err}
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return result{err: err}
	}
	var last []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := counts.FindStringSubmatch(lines.Text()); m != nil {
			r.executions, _ = strconv.Atoi(m[1])
			r.interesting, _ = strconv.Atoi(m[2])
			tell(r.executions)
		}
		if last = append(last, lines.Text()); len(last) > 40 {
			last = last[1:]
		}
	}
	r.err, r.tail = cmd.Wait(), strings.Join(last, "\n")
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r
}
