package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// edgeCounts are the sizes of the comparison of the edge.
type edgeCounts struct {
	rounds       int
	closed, open time.Duration // how long a run takes that sends as fast as answers come, and one at a fixed rate
	sizes        edgeSizes
	rate, flood  float64 // requests a second
}

// edgeRow is one server with one set of tokens: a figure a round. Ratios are of the same round.
type edgeRow struct {
	Server string `json:"server"`
	Set    string `json:"set"`
	// CPU is microseconds of the server's processor for one check, PerSecond the throughput of its one core.
	CPU       []float64 `json:"cpu_us"`
	PerSecond []float64 `json:"per_second"`
	// P50 and P99 are milliseconds at the fixed rate; empty where that was not measured.
	P50 []float64 `json:"p50_ms,omitempty"`
	P99 []float64 `json:"p99_ms,omitempty"`
}

// edgeFigures are what the comparison found.
type edgeFigures struct {
	Rate  float64    `json:"rate"`
	Flood float64    `json:"flood"`
	Rows  []*edgeRow `json:"rows"`
	// Calm and Flooded are the 99th percentiles of good tokens without and with a flood of tokens of unknown keys. Those of
	// the bare server tell what the same requests do to one that looks at nothing.
	Calm        []float64 `json:"calm_p99_ms"`
	Flooded     []float64 `json:"flooded_p99_ms"`
	BareCalm    []float64 `json:"bare_calm_p99_ms"`
	BareFlooded []float64 `json:"bare_flooded_p99_ms"`
	// Late is the 99th percentile of how late the load was, of each run at a rate.
	Late []float64 `json:"p99_late_ms"`
	// Decisions is how many answers of the edge were looked at, Wrong how many were not the right ones.
	Decisions int    `json:"decisions"`
	Wrong     int    `json:"wrong"`
	First     string `json:"first_wrong,omitempty"`
	// Memory is the peak of the edge with so many tokens in its cache, after everything else.
	Memory int64 `json:"memory"`
	Cached int   `json:"cached"`
}

// The servers that are compared, by protocol.
const (
	ownGRPC  = "Keyturn, gRPC"
	bareGRPC = "bare grpc-go"
	jwxGRPC  = "grpc-go and jwt.Parse"
	ownHTTP  = "Keyturn, HTTP (nginx)"
	bareHTTP = "bare net/http"
)

// contender is a server that runs.
type contender struct {
	service
	name, protocol string
	own            bool
	paced          bool // is measured at the fixed rate too
}

// edgeBench is the comparison.
type edgeBench struct {
	counts  edgeCounts
	world   *world
	servers []*contender
	loader  *loader
	figures *edgeFigures
	edge    service // Keyturn's own
}

// Connections and requests under way on each: a proxy has one connection a thread and keeps a pool for HTTP.
const (
	grpcConnections, grpcAtOnce = 2, 16
	httpConnections             = 32
)

func measureEdge(ctx context.Context, w *world, counts edgeCounts, progress func(string)) (*edgeFigures, error) {
	b := &edgeBench{counts: counts, world: w, figures: &edgeFigures{Rate: counts.rate, Flood: counts.flood}}
	defer b.close()
	progress("edge: making tokens and starting what is compared, each on its core")
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	for round := range counts.rounds + 1 {
		if round > 0 {
			progress(fmt.Sprintf("edge: round %d of %d", round, counts.rounds))
		}
		if err := b.round(ctx, round == 0); err != nil { // the first warms up
			return nil, err
		}
	}
	progress(fmt.Sprintf("edge: memory with %d tokens", counts.sizes.memory))
	return b.figures, b.fill(ctx)
}

// open starts everything.
func (b *edgeBench) open(ctx context.Context) error {
	w := b.world
	sets, err := mintSets(w, b.counts.sizes)
	if err != nil {
		return err
	}
	path, jwks := filepath.Join(w.dir, "tokens.json"), filepath.Join(w.dir, "jwks.json")
	if err := errors.Join(writeSets(path, sets), os.WriteFile(jwks, token.JWKS([]*token.PublicKey{w.key.Public()}), 0o600)); err != nil {
		return err
	}
	b.edge, err = w.startAs(ctx, "pinned-edge", "extauthz", "grpc", []string{"--internal-listen", "127.0.0.1:0", "--instance", "bench-pinned",
		"--snapshot", filepath.Join(w.dir, "edge.json"), "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"},
		func(cmd *exec.Cmd) (*exec.Cmd, error) { return pinned(cmd, servedCore(), "") })
	if err != nil {
		return err
	}
	log, err := os.ReadFile(b.edge.log)
	if err != nil {
		return err
	}
	overHTTP := b.edge
	overHTTP.address, _ = addresses(log, "http")
	b.servers = []*contender{
		{b.edge, ownGRPC, "grpc", true, true}, {service{}, bareGRPC, "grpc", false, true}, {overHTTP, ownHTTP, "http", true, false},
		{service{}, bareHTTP, "http", false, false}, {service{}, jwxGRPC, "grpc", false, false},
	}
	if err := errors.Join(b.servers[1].startPinned("barecheck"), b.servers[3].startPinned("null"), b.servers[4].startPinned("barecheck", jwks)); err != nil {
		return err
	}
	for _, set := range []string{setHot, setMany, setMixed} {
		for _, s := range b.servers {
			b.figures.Rows = append(b.figures.Rows, &edgeRow{Server: s.name, Set: set})
		}
	}
	b.loader, err = startLoader(path)
	return err
}

func (b *edgeBench) close() {
	for _, s := range b.servers {
		if s.Process != nil {
			s.Kill()
		}
	}
	if b.loader != nil {
		b.loader.Kill()
	}
}

func (b *edgeBench) server(name string) *contender {
	for _, s := range b.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// round lets every server have every set in turn, so that a core that gets slower does so for all.
func (b *edgeBench) round(ctx context.Context, warming bool) error {
	for _, row := range b.figures.Rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := b.server(row.Server)
		load, d := s.flow(row.Set, 0), b.counts.closed
		if warming { // every token once, however slow the machine is
			load.Count, d = b.counts.sizes.many, time.Hour
		}
		cpu, f, err := b.run(s, d, load)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", row.Server, row.Set, err)
		}
		var at flowFigures
		if s.paced && !warming {
			if _, at, err = b.run(s, b.counts.open, s.flow(row.Set, b.counts.rate)); err != nil {
				return fmt.Errorf("%s, %s: %w", row.Server, row.Set, err)
			}
			row.P50, row.P99 = append(row.P50, at.P50), append(row.P99, at.P99)
		}
		if !warming {
			row.CPU, row.PerSecond = append(row.CPU, cpu), append(row.PerSecond, f.PerSecond)
		}
	}
	return b.flooded(warming)
}

// flooded compares good tokens alone with good tokens beside a flood of others, each of another unknown key.
func (b *edgeBench) flooded(warming bool) error {
	f := b.figures
	for _, c := range []struct {
		server         string
		calm, besideIt *[]float64
	}{{ownGRPC, &f.Calm, &f.Flooded}, {bareGRPC, &f.BareCalm, &f.BareFlooded}} {
		s := b.server(c.server)
		good, flood := s.flow(setMany, b.counts.rate), s.flow(setUnknown, b.counts.flood)
		_, calm, err := b.run(s, b.counts.open, good)
		if err != nil {
			return err
		}
		_, beside, err := b.run(s, b.counts.open, good, flood)
		if err != nil {
			return err
		}
		if !warming {
			*c.calm, *c.besideIt = append(*c.calm, calm.P99), append(*c.besideIt, beside.P99)
		}
	}
	return nil
}

// flow is the load of one set on a server.
func (s *contender) flow(set string, rate float64) flow {
	f := flow{Set: set, Rate: rate, Connections: grpcConnections, AtOnce: grpcAtOnce, Judge: s.own}
	if s.protocol == "http" {
		f.Connections, f.AtOnce = httpConnections, 1
	}
	if rate > 0 {
		f.AtOnce *= 8 // what is late must not keep the next from being sent
	}
	return f
}

// run does one job and returns the processor time of an answer, and the figures of the first flow.
func (b *edgeBench) run(s *contender, d time.Duration, flows ...flow) (cpu float64, first flowFigures, err error) {
	var done []flowFigures
	took, err := spent(s.Pid(), func() error {
		done, err = b.loader.do(job{Protocol: s.protocol, Address: s.address, Duration: d, Flows: flows})
		return err
	})
	if err != nil {
		return 0, first, err
	}
	if flows[0].Rate > 0 {
		b.figures.Late = append(b.figures.Late, done[0].Late)
	}
	answers := 0
	for _, f := range done {
		answers += f.Count
		if s.own {
			b.figures.Decisions += f.Count
			if b.figures.Wrong += f.Wrong; b.figures.First == "" {
				b.figures.First = f.FirstWrong
			}
		}
	}
	if answers == 0 {
		return 0, first, errors.New("no request was answered")
	}
	return float64(took.Nanoseconds()) / 1e3 / float64(answers), done[0], nil
}

// fill has every token of a large set checked, and reads how many the edge remembers and what it takes.
func (b *edgeBench) fill(ctx context.Context) error {
	s := b.servers[0]
	f := s.flow(setMemory, 0)
	for range 2 { // new, and known
		f.Count = b.counts.sizes.memory
		if _, _, err := b.run(s, time.Hour, f); err != nil {
			return err
		}
	}
	log, err := os.ReadFile(b.edge.log)
	if err != nil {
		return err
	}
	_, internal := addresses(log, "grpc")
	if b.figures.Cached, err = metric(ctx, internal, "keyturn_token_cache_entries"); err != nil {
		return err
	}
	if b.figures.Cached < b.counts.sizes.memory {
		return fmt.Errorf("%d of %d tokens are in the cache: what it takes is not known", b.figures.Cached, b.counts.sizes.memory)
	}
	b.figures.Memory, err = peakMemory(s.Pid())
	return err
}
