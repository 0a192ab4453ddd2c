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
	// censusLines is how many values of one kind are counted in a window.
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

// count adds to a value. A new value takes the place of the rarest one that few users have; if there is none, it is not
// counted. So nobody can push out what many use by making up values.
func count(lines map[string]*censusEntry, value string, who uint64) {
	e, found := lines[value]
	if !found {
		if len(lines) >= censusLines {
			rarest := ""
			for candidate, c := range lines {
				if c.distinct < crowd && (rarest == "" || c.requests < lines[rarest].requests) {
					rarest = candidate
				}
			}
			if _, there := lines[rarest]; !there || lines[rarest].distinct >= crowd {
				return
			}
			delete(lines, rarest)
		}
		e = &censusEntry{}
		lines[value] = e
	}
	e.requests++
	e.add(who)
}

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
	return all
}

func (a *Authorizer) serveCensus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	report := a.census.report()
	report.Instance = a.instance
	_ = json.NewEncoder(w).Encode(report) // the reader is gone
}
