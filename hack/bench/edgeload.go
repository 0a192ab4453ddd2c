package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// job is what the process that makes the load is told, and result what it answers, one line of JSON each.
type job struct {
	Protocol string        `json:"protocol"` // grpc or http
	Address  string        `json:"address"`
	Duration time.Duration `json:"duration"`
	Flows    []flow        `json:"flows"`
}

// flow is one stream of requests.
type flow struct {
	Set string `json:"set"`
	// Rate is requests a second, each at its instant whether or not the last was answered; 0 sends as fast as answers come.
	Rate float64 `json:"rate"`
	// Count ends the flow after so many requests; 0 goes on for the duration.
	Count int `json:"count"`
	// Connections, and how many requests are under way on each at most.
	Connections int `json:"connections"`
	AtOnce      int `json:"at_once"`
	// Judge tells that the answers must be the right ones; a bare server says OK to everybody.
	Judge bool `json:"judge"`
}

// flowFigures are what came of a flow. Times are from the instant at which a request was due.
type flowFigures struct {
	Count      int     `json:"count"`
	Wrong      int     `json:"wrong"`
	FirstWrong string  `json:"first_wrong,omitempty"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	// Late is the 99th percentile of how long after its instant a request was sent; 0 without a rate. It is a part of P99,
	// and the fault of the load.
	Late float64 `json:"p99_late_ms"`
}

type loadAnswer struct {
	Flows []flowFigures `json:"flows"`
	Error string        `json:"error,omitempty"`
}

// loader is the process.
type loader struct {
	*process.Process
	orders  io.Writer
	answers *bufio.Reader
}

// startLoader starts it on its core. sets is the file of the tokens.
func startLoader(sets string) (*loader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	readOrders, orders, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, writeAnswers, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, sets)
	cmd.Env = withoutGoSettings(os.Environ())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = readOrders, writeAnswers, os.Stderr
	if cmd, err = pinned(cmd, loadCore(), loadRole); err != nil {
		return nil, err
	}
	p, err := process.Start(cmd)
	_ = readOrders.Close()
	_ = writeAnswers.Close()
	if err != nil {
		return nil, err
	}
	return &loader{p, orders, bufio.NewReader(answers)}, nil
}

// do has a job done.
func (l *loader) do(j job) ([]flowFigures, error) {
	if err := json.NewEncoder(l.orders).Encode(j); err != nil {
		return nil, err
	}
	line, err := l.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the process that makes the load: %w", err)
	}
	var a loadAnswer
	if err := json.Unmarshal(line, &a); err != nil {
		return nil, err
	}
	if a.Error != "" {
		return nil, fmt.Errorf("load on %s: %s", j.Protocol, a.Error)
	}
	return a.Flows, nil
}

// playLoad is its role.
func playLoad(in io.Reader, out io.Writer, args []string) error {
	debug.SetGCPercent(400)
	if len(args) != 1 {
		return fmt.Errorf("load: the file of the tokens is needed")
	}
	raw, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var sets map[string][]item
	if err := json.Unmarshal(raw, &sets); err != nil {
		return err
	}
	orders := json.NewDecoder(in)
	for {
		var j job
		if err := orders.Decode(&j); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var a loadAnswer
		var err error
		if a.Flows, err = runJob(j, sets); err != nil {
			a.Error = err.Error()
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
	}
}
