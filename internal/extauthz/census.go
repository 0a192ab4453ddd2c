package extauthz

import (
	"cmp"
	"encoding/json"
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// The bounds of the census.
const (
	// crowd is how many distinct users a value must have before anybody is told of it: behind each line are many.
	crowd = 10
	// censusLines is how many values of one kind are told of. Twice as many are counted in a window: those that are not told
	// of yet have room to show how frequent they are.
	censusLines = 64
	// censusWindow is how long one count lasts. The last whole one and the one that runs are told of together: a day or
	// two, so that who has stopped using sessions is forgotten.
	censusWindow = 24 * time.Hour
)

// Census is what is told, see [snapshot.Census].
type Census = snapshot.Census

// CensusLine is one value and its requests; the most first.
type CensusLine = snapshot.CensusLine

// census counts. Users are kept as hashes by a seed of this process, and only until there are enough of them.
type census struct {
	seed maphash.Seed
	now  func() time.Time

	mu            sync.Mutex
	last, current censusCount
}

// censusCount is what was counted in one window. The zero value has seen nothing.
type censusCount struct {
	since                 time.Time
	requests              uint64
	routes, agents, roles map[string]*censusEntry
}

type censusEntry struct {
	requests uint64
	debt     uint64 // requests of those that had the line before: they count for who keeps it, and are not told
	users    [crowd]uint64
	distinct int
}

func newCensus(now func() time.Time) *census {
	return &census{seed: maphash.MakeSeed(), now: now, current: countingSince(now())}
}

func countingSince(now time.Time) censusCount {
	return censusCount{since: now, routes: map[string]*censusEntry{}, agents: map[string]*censusEntry{}, roles: map[string]*censusEntry{}}
}

// turn begins a new window when this one is over; one that has long been over tells nothing about today.
func (c *census) turn() {
	now := c.now()
	age := now.Sub(c.current.since)
	if age < censusWindow {
		return
	}
	c.last = c.current
	if age >= 2*censusWindow {
		c.last = censusCount{}
	}
	c.current = countingSince(now)
}

// saw counts one request that a legacy session authorized.
func (c *census) saw(user, role string, q question) {
	who := maphash.String(c.seed, user)
	route, agent := routeTemplate(q.target), agentFamily(q.agent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	c.current.requests++
	count(c.current.routes, route, who)
	count(c.current.agents, agent, who)
	count(c.current.roles, role, who)
}

// count adds to a value. Of the values that many use, the most frequent censusLines are safe: nobody pushes them out by
// making up values. For the other places a new value takes that of the rarest one, and its requests as a debt (the
// space-saving algorithm of Metwally and others, 2005): so what keeps coming gets a line, however the lines were filled.
func count(lines map[string]*censusEntry, value string, who uint64) {
	e, found := lines[value]
	if !found {
		e = &censusEntry{}
		if len(lines) >= 2*censusLines {
			rarest := rarest(lines)
			e.debt = lines[rarest].weight()
			delete(lines, rarest)
		}
		lines[value] = e
	}
	e.requests++
	e.add(who)
}

// rarest is the value with the fewest requests among those that are not safe.
func rarest(lines map[string]*censusEntry) string {
	safe := make([]uint64, 0, len(lines))
	for _, e := range lines {
		if e.distinct >= crowd {
			safe = append(safe, e.requests)
		}
	}
	least := uint64(0) // requests from which on a value that many use is safe
	if slices.Sort(safe); len(safe) > censusLines {
		least = safe[len(safe)-censusLines]
	}
	found := ""
	for value, e := range lines {
		if (e.distinct < crowd || e.requests < least) && (found == "" || e.weight() < lines[found].weight()) {
			found = value
		}
	}
	if found == "" { // they all come as often as the last that is safe
		for value, e := range lines {
			if found == "" || e.requests < lines[found].requests {
				found = value
			}
		}
	}
	return found
}

func (e *censusEntry) weight() uint64 { return e.requests + e.debt }

func (e *censusEntry) add(who uint64) {
	if e.distinct < crowd && !slices.Contains(e.users[:e.distinct], who) {
		e.users[e.distinct] = who
		e.distinct++
	}
}

// report is what may be told.
func (c *census) report() Census {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	since := c.current.since
	if !c.last.since.IsZero() {
		since = c.last.since
	}
	return Census{
		Since: since.UTC(), Requests: c.last.requests + c.current.requests,
		Routes: told(c.last.routes, c.current.routes), Agents: told(c.last.agents, c.current.agents), Roles: told(c.last.roles, c.current.roles),
	}
}

// told adds up what was counted in two windows. A user who was there in both is one user: the hashes have one seed.
func told(last, current map[string]*censusEntry) []CensusLine {
	sums := map[string]*censusEntry{}
	for _, lines := range []map[string]*censusEntry{last, current} {
		for value, e := range lines {
			sum := sums[value]
			if sum == nil {
				sum = &censusEntry{}
				sums[value] = sum
			}
			sum.requests += e.requests
			for _, who := range e.users[:e.distinct] {
				sum.add(who)
			}
		}
	}
	all := []CensusLine{}
	for value, e := range sums {
		if e.distinct >= crowd {
			all = append(all, CensusLine{Value: value, Requests: e.requests})
		}
	}
	slices.SortFunc(all, func(a, b CensusLine) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Value, b.Value))
	})
	return all[:min(len(all), censusLines)]
}

func (a *Authorizer) serveCensus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	report := a.census.report()
	report.Instance = a.instance
	_ = json.NewEncoder(w).Encode(report) // the reader is gone
}
