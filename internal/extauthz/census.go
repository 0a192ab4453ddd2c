package extauthz

import (
	"cmp"
	"encoding/json"
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The bounds of the census.
const (
	// crowd is how many distinct users a value must have before anybody is told of it: behind each line are many.
	crowd = 10
	// censusLines is how many values of one kind are counted.
	censusLines = 64
)

// Census tells who still uses legacy sessions: requests that one authorized at this replica, since Since. Every value has
// been seen from at least ten users; what is left over is only in Requests.
type Census struct {
	Since    time.Time    `json:"since"`
	Requests uint64       `json:"requests"`
	Routes   []CensusLine `json:"routes"`
	Agents   []CensusLine `json:"agents"`
	Roles    []CensusLine `json:"roles"`
}

// CensusLine is one value and its requests; the most first.
type CensusLine struct {
	Value    string `json:"value"`
	Requests uint64 `json:"requests"`
}

// census counts. Users are kept as hashes by a seed of this process, and only until there are enough of them.
type census struct {
	seed maphash.Seed
	now  func() time.Time

	mu                    sync.Mutex
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
	return &census{
		seed: maphash.MakeSeed(), now: now, since: now(),
		routes: map[string]*censusEntry{}, agents: map[string]*censusEntry{}, roles: map[string]*censusEntry{},
	}
}

// saw counts one request that a legacy session authorized.
func (c *census) saw(user, role string, q question) {
	who := maphash.String(c.seed, user)
	route, agent := routeTemplate(q.target), agentFamily(q.agent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	count(c.routes, route, who)
	count(c.agents, agent, who)
	count(c.roles, role, who)
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
	if e.distinct < crowd && !slices.Contains(e.users[:e.distinct], who) {
		e.users[e.distinct] = who
		e.distinct++
	}
}

// report is what may be told.
func (c *census) report() Census {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Census{Since: c.since.UTC(), Requests: c.requests, Routes: told(c.routes), Agents: told(c.agents), Roles: told(c.roles)}
}

func told(lines map[string]*censusEntry) []CensusLine {
	all := []CensusLine{}
	for value, e := range lines {
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
	_ = json.NewEncoder(w).Encode(a.census.report()) // the reader is gone
}
