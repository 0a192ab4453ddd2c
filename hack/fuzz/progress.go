package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// progress tells on standard error how far a target is: on a terminal in one line that changes, elsewhere once a minute.
type progress struct {
	name     string
	n        int
	terminal bool
	started  time.Time
	told     time.Time
}

func newProgress(name string, n int) *progress {
	info, err := os.Stderr.Stat()
	now := time.Now()
	p := &progress{name: name, n: n, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, started: now, told: now}
	fmt.Fprintf(os.Stderr, "%s …%s", name, p.lineEnd())
	return p
}

func (p *progress) lineEnd() string {
	if p.terminal {
		return ""
	}
	return "\n"
}

func (p *progress) tell(executions int) {
	now := time.Now()
	if executions == 0 || !p.terminal && now.Sub(p.told) < time.Minute {
		return
	}
	p.told = now
	took := now.Sub(p.started)
	left := time.Duration(float64(took) / float64(executions) * float64(max(0, p.n-executions)))
	begin := ""
	if p.terminal {
		begin = "\r\x1b[K"
	}
	fmt.Fprintf(os.Stderr, "%s%s: %s of %s, %s a second, %s left%s", begin, p.name, thousands(executions), thousands(p.n),
		thousands(int(float64(executions)/took.Seconds())), left.Round(time.Second), p.lineEnd())
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

// printTable prints what came of the runs.
func printTable(out io.Writer, done []result) {
	if len(done) == 0 {
		return
	}
	const row = "%-42s %13s %8s %8s %6s %9s\n"
	_, _ = fmt.Fprintf(out, row, "TARGET", "EXECUTIONS", "SECONDS", "CPU us", "NEW", "FINDINGS")
	var all result
	findings := 0
	for _, r := range done {
		found := 0
		if r.err != nil {
			found = 1 // a target stops at its first
		}
		findings += found
		all.executions, all.interesting, all.took, all.cpu = all.executions+r.executions, all.interesting+r.interesting, all.took+r.took, all.cpu+r.cpu
		_, _ = fmt.Fprintf(out, row, r.target.name(), thousands(r.executions), thousands(int(r.took.Seconds())), perExecution(r), thousands(r.interesting), strconv.Itoa(found))
	}
	_, _ = fmt.Fprintf(out, row, fmt.Sprintf("%d targets", len(done)), thousands(all.executions), thousands(int(all.took.Seconds())), perExecution(all), thousands(all.interesting), strconv.Itoa(findings))
}

func perExecution(r result) string {
	return fmt.Sprintf("%.1f", float64(r.cpu.Microseconds())/float64(max(r.executions, 1)))
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
