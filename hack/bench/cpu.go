package main

import (
	"context"
	"fmt"
	"time"
)

// comparison is the processor time of one piece of work beside a bare one of the same kind: one figure a round. Rounds
// are short and the two sides take turns, so cores that get slower and faster do so for both.
type comparison struct {
	Name string `json:"name"`
	Bare string `json:"bare"`
	// Own and Base are microseconds of processor time for one piece, by round.
	Own  []float64 `json:"own_us"`
	Base []float64 `json:"base_us"`
	// Limit is the highest median ratio allowed; 0 for no bound.
	Limit float64 `json:"limit,omitempty"`
}

// ratios are Own / Base by round.
func (c comparison) ratios() []float64 {
	all := make([]float64, len(c.Own))
	for i := range all {
		all[i] = c.Own[i] / c.Base[i]
	}
	return all
}

// crowd is how many requests are under way at once where a row says so.
const crowd = 16

// counts are the pieces of work of one round.
type counts struct{ rounds, signatures, hashes, checks int }

// cpuBench is the part of the benchmark that counts processor time.
type cpuBench struct {
	world   *world
	count   counts
	clients []*conn // to the token service
	proxies []*conn // to the edge
	nulls   []*conn // to the bare server
	pairs   []pair  // of each client
	logins  int
}

func connections(n int, address string) []*conn {
	all := make([]*conn, n)
	for i := range all {
		all[i] = &conn{address: address}
	}
	return all
}

// measureCPU runs the rounds and returns the comparisons.
func measureCPU(ctx context.Context, w *world, count counts, progress func(string)) ([]*comparison, error) {
	b := &cpuBench{world: w, count: count, clients: connections(crowd, w.token.address), proxies: connections(crowd, w.edge.address),
		nulls: connections(crowd, w.nullEdge.address), pairs: make([]pair, crowd)}
	defer func() {
		for _, all := range [][]*conn{b.clients, b.proxies, b.nulls} {
			for _, c := range all {
				c.close()
			}
		}
	}()
	if err := b.login(crowd, newcomerName); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	one := &comparison{Name: "refresh, one at a time", Bare: "RS256-2048 signature"}
	many := &comparison{Name: fmt.Sprintf("refresh, %d at once", crowd), Bare: "RS256-2048 signature", Limit: refreshRatio}
	login := &comparison{Name: "login, two at once", Bare: "argon2id 19 MiB + signature"}
	check := &comparison{Name: fmt.Sprintf("edge check (nginx), %d at once", crowd), Bare: "empty net/http handler"}
	for round := range count.rounds + 1 {
		if round > 0 {
			progress(fmt.Sprintf("processor time: round %d of %d", round, count.rounds))
		}
		for _, step := range []struct {
			into *comparison
			run  func(*comparison) error
		}{
			{one, func(c *comparison) error { return b.refreshes(c, 1) }}, {many, func(c *comparison) error { return b.refreshes(c, crowd) }},
			{login, b.loginRound}, {check, b.checkRound},
		} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := step.run(step.into); err != nil {
				return nil, fmt.Errorf("%s: %w", step.into.Name, err)
			}
			if round == 0 { // caches, connections and pages of memory are new
				step.into.Own, step.into.Base = nil, nil
			}
		}
	}
	return []*comparison{one, many, login, check}, nil
}

// note adds one round: pieces of work that took own, against bare ones that took base.
func (c *comparison) note(own, base time.Duration, pieces int) {
	c.Own = append(c.Own, float64(own.Nanoseconds())/1e3/float64(pieces))
	c.Base = append(c.Base, float64(base.Nanoseconds())/1e3/float64(pieces))
}

// refreshes compares with signatures computed by as many goroutines as there are requests at once.
func (b *cpuBench) refreshes(c *comparison, atOnce int) error {
	own, err := spent(b.world.token.Pid(), func() error {
		return volley(b.clients[:atOnce], b.count.signatures, func(k, _ int, to []byte) []byte {
			return refreshRequest(to, address(k+1), b.pairs[k].refresh)
		}, b.keep)
	})
	if err != nil {
		return err
	}
	base, err := spent(b.world.crypto.Pid(), func() error { return b.world.crypto.compute("sign", b.count.signatures, atOnce) })
	c.note(own, base, b.count.signatures)
	return err
}

// login logs in n times over the clients. Each time the address is another: the limit of logins is not what is measured.
func (b *cpuBench) login(n int, name func(int) string) error {
	first := b.logins
	b.logins += n
	return volley(b.clients[:min(n, len(b.clients))], n, func(_, i int, to []byte) []byte {
		return loginRequest(to, address(1<<20+first+i), name(first+i))
	}, b.keep)
}

func (b *cpuBench) keep(k int, a answer) (err error) {
	b.pairs[k], err = readPair(a)
	return err
}

// loginRound computes two hashes at once, one a core: more would only wait.
func (b *cpuBench) loginRound(c *comparison) error {
	clients := b.clients
	b.clients = clients[:2]
	defer func() { b.clients = clients }()
	own, err := spent(b.world.token.Pid(), func() error { return b.login(b.count.hashes, personName) })
	if err != nil {
		return err
	}
	base, err := spent(b.world.crypto.Pid(), func() error {
		if err := b.world.crypto.compute("hash", b.count.hashes, 2); err != nil {
			return err
		}
		return b.world.crypto.compute("sign", b.count.hashes, 2)
	})
	c.note(own, base, b.count.hashes)
	return err
}

func (b *cpuBench) checkRound(c *comparison) error {
	request := func(k, _ int, to []byte) []byte { return checkRequest(to, address(k+1), b.pairs[k].access) }
	good := func(_ int, a answer) error {
		if a.status != 200 {
			return refused(a)
		}
		return nil
	}
	own, err := spent(b.world.edge.Pid(), func() error { return volley(b.proxies, b.count.checks, request, good) })
	if err != nil {
		return err
	}
	base, err := spent(b.world.nullEdge.Pid(), func() error { return volley(b.nulls, b.count.checks, request, good) })
	c.note(own, base, b.count.checks)
	return err
}
