package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is one fuzz function.
type target struct{ pkg, dir, function string }

func (t target) name() string {
	_, short, _ := strings.Cut(t.pkg, "/keyturn/keyturn/")
	return cmp.Or(short, t.pkg) + "." + t.function
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// targets finds those of this module whose name is wanted, in the order of their names.
func targets(ctx context.Context, wanted *regexp.Regexp) ([]target, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-f", `{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}{{"\n"}}{{end}}`, "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []target
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		source, err := os.ReadFile(filepath.Join(fields[1], fields[2]))
		if err != nil {
			return nil, err
		}
		for _, m := range declaration.FindAllSubmatch(source, -1) {
			if t := (target{pkg: fields[0], dir: fields[1], function: string(m[1])}); wanted.MatchString(t.name()) {
				all = append(all, t)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no fuzz target of that name")
	}
	slices.SortFunc(all, func(a, b target) int { return cmp.Compare(a.name(), b.name()) })
	return all, nil
}

// result is what came of a run.
type result struct {
	executions, interesting int
	cpu                     time.Duration // of all processes
	tail                    string        // the last lines of its output
	err                     error
}

var progress = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+)`)

// run fuzzes for n executions. The test is built before, so that the figures are of the target alone.
func (t target) run(ctx context.Context, n, parallel int) result {
	if r := t.fuzz(ctx, 1, parallel); r.err != nil {
		return r
	}
	r := t.fuzz(ctx, n, parallel)
	if r.err == nil && r.executions < n {
		r.err = fmt.Errorf("it ended after %d executions", r.executions)
	}
	return r
}

func (t target) fuzz(ctx context.Context, n, parallel int) (r result) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.function+"$", "-fuzztime", strconv.Itoa(n)+"x", "-parallel", strconv.Itoa(parallel), "-timeout", "0", t.pkg)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // its workers too
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
		if m := progress.FindStringSubmatch(lines.Text()); m != nil {
			r.executions, _ = strconv.Atoi(m[1])
			r.interesting, _ = strconv.Atoi(m[2])
		}
		if last = append(last, lines.Text()); len(last) > 40 {
			last = last[1:]
		}
	}
	r.err, r.tail = cmd.Wait(), strings.Join(last, "\n")
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r
}

// maxKept bounds an input that is kept.
const maxKept = 2 << 10

// keep copies inputs that reached new code from the build cache to where go test replays them, the shortest first.
func (t target) keep(ctx context.Context, most int) error {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return err
	}
	from := filepath.Join(strings.TrimSpace(string(cache)), "fuzz", filepath.FromSlash(t.pkg), t.function)
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing new
	}
	if err != nil {
		return err
	}
	into := filepath.Join(t.dir, "testdata", "fuzz", t.function)
	if err := os.MkdirAll(into, 0o750); err != nil {
		return err
	}
	inputs := map[string][]byte{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if len(raw) <= maxKept {
			inputs[e.Name()] = raw
		}
	}
	names := make([]string, 0, len(inputs))
	for name := range inputs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(inputs[a]), len(inputs[b])), cmp.Compare(a, b))
	})
	for _, name := range names[:min(most, len(names))] {
		if err := os.WriteFile(filepath.Join(into, name), inputs[name], 0o600); err != nil {
			return err
		}
	}
	return nil
}
