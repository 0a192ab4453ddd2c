package keys_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// planner is what the simulation puts to the test: keys.Next, or a mutant of it.
type planner func(time.Time, keys.Policy, keys.Observed) keys.Plan

// document is what a replica loads: the projection of one ring.
type document struct {
	epoch, version int64
	keys           []keys.Key
	kids           []string
	active         string
	ttl            time.Duration
	at             time.Time
}

func (d *document) has(kid string) bool { return d != nil && slices.Contains(d.kids, kid) }

// newer is the order in which replicas take documents.
func (d *document) newer(o *document) bool {
	return o == nil || d != nil && (d.epoch > o.epoch || d.epoch == o.epoch && d.version > o.version)
}

// pod is a token service or an edge.
type pod struct {
	name           string
	signer         bool
	offset         time.Duration // of its clock
	leapt          bool          // its clock is ahead of all that is allowed
	born           time.Time
	doc, mounted   *document
	latestExp      map[string]time.Time
	downUntil      time.Time
	partitionUntil time.Time // neither the manager nor new documents reach it; it serves on
	slowUntil      time.Time // its kubelet has not noticed the newest document
	gone           bool
	report         keys.Replica // what the manager has of it
	reported       time.Time
}

// verifier is a third party that caches a JWKS.
type verifier struct {
	offset  time.Duration
	kids    []string
	from    *pod
	fetched time.Time
}

// event is something that happens at a true time.
type event struct {
	at  time.Time
	seq int
	do  func()
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any     { e := (*a)[len(*a)-1]; *a = (*a)[:len(*a)-1]; return e }

// world is a model of the system around the planner. True time is t; every process has a clock of its own.
type world struct {
	rng    *rand.Rand
	t, end time.Time
	agenda agenda
	events int
	next   planner
	policy keys.Policy

	// What etcd holds.
	ring     *keys.Ring
	version  int // resource version of the ring
	status   []keys.Key
	floors   [3]int64 // epoch, revision, sequence in the status
	handled  string
	revoked  []string // kids, in the status
	revoke   []string // kids that somebody wants revoked
	secrets  map[int64]keys.Key
	heads    map[bool]*document // by signer
	history  map[bool][]*document
	oldRings []*keys.Ring
	request  string
	taken    []string // kids, in the status

	source     []keys.Key // what the owner brings
	sourceBack time.Time
	used       []keys.Key // brought keys that the set has had

	pods      []*pod
	verifiers []*verifier
	limit     time.Duration // how long a third party may use a JWKS
	skew      time.Duration // bound of a clock's offset from true time

	managerOffset, managerLeap time.Duration
	managerBack                time.Time // until then no manager runs

	maxExp   map[string]time.Time     // latest expiry of all tokens, by kid
	excused  map[string]time.Time     // until when third parties may not know a kid: emergencies
	wanted   map[string]time.Duration // since which uptime somebody wants a kid revoked
	uptime   time.Duration            // of the manager
	looked   time.Time                // when it last did
	dead     map[string]bool          // kids that were revoked
	gone     map[string]bool          // kids that were removed or revoked
	judged   keys.Policy              // the policy of the plan that is carried out
	rushed   map[string]time.Time     // when a kid took over in an emergency
	without  map[string]bool          // kid and pod: out of reach then
	written  int64                    // the highest epoch that a ring ever had
	told     int64                    // and the highest that status or document ever had
	touched  bool                     // by the last event: more than one third party's cache
	names    int
	counts   map[string]int
	failure  string
	lastLine []string // what happened last, for a failure
}

func newWorld(seed uint64, next planner, length time.Duration) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 7)), t: start, next: next,
		secrets: map[int64]keys.Key{}, heads: map[bool]*document{}, history: map[bool][]*document{},
		maxExp: map[string]time.Time{}, excused: map[string]time.Time{}, wanted: map[string]time.Duration{},
		dead: map[string]bool{}, gone: map[string]bool{}, rushed: map[string]time.Time{}, without: map[string]bool{}, counts: map[string]int{},
	}
	w.end = w.t.Add(length)
	slowest, maxAge := w.span(time.Minute, 20*time.Minute), w.span(10*time.Second, 5*time.Minute)
	skew := w.span(5*time.Second, time.Minute)
	w.limit = slowest + maxAge
	pre := w.limit + 2*skew + w.span(5*time.Minute, 3*time.Hour)
	w.policy = keys.Policy{
		UID: fmt.Sprint("uid-", seed), Algorithm: keys.ES256, RSABits: 2048, Interval: 2*pre + w.span(2*time.Hour, 36*time.Hour),
		PrePublish: pre, Standby: w.rng.IntN(3), ClockSkew: skew, AccessTTL: w.span(time.Minute, time.Hour), MaxPropagation: w.span(time.Second, time.Minute),
	}
	w.skew = skew / 2 // so that two clocks differ by skew at most, whoever the manager is
	if seed%2 == 0 {
		w.skew = skew // one manager for ever: its offset is constant
	}
	w.managerOffset = w.offset()
	for range w.rng.IntN(3) {
		w.addPod(true)
		w.addPod(false)
	}
	for range 3 {
		w.verifiers = append(w.verifiers, &verifier{offset: w.offset()})
	}
	w.begin(seed)
	return w
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// begin puts the endless chains of events on the agenda.
func (w *world) begin(seed uint64) {
	w.after(0, w.reconcile)
	for _, v := range w.verifiers {
		w.after(w.span(0, w.limit), func() { w.fetch(v) })
	}
	w.every(20*time.Minute, 8*time.Hour, func() { w.addPod(w.chance(2)) })
	w.every(20*time.Minute, 8*time.Hour, w.removePod)
	w.every(10*time.Minute, 6*time.Hour, w.restartPod)
	w.every(6*time.Hour, 72*time.Hour, w.partition)
	w.every(time.Hour, 24*time.Hour, w.editTTL)
	w.every(24*time.Hour, 240*time.Hour, w.editPolicy)
	w.every(48*time.Hour, 480*time.Hour, w.loseKey)
	w.every(24*time.Hour, 240*time.Hour, w.distrust)
	w.every(48*time.Hour, 480*time.Hour, w.managerDown)
	w.every(6*time.Hour, 96*time.Hour, w.leap)
	w.every(12*time.Hour, 120*time.Hour, w.leapSigner)
	w.every(72*time.Hour, 960*time.Hour, w.loseRing)
	w.every(72*time.Hour, 960*time.Hour, w.restoreRing)
	w.every(240*time.Hour, 960*time.Hour, w.scaleToZero)
	w.policy.Brought = seed%3 == 0
	w.every(time.Minute, 48*time.Hour, w.bringKeys)
	w.every(24*time.Hour, 240*time.Hour, w.loseSource)
	w.every(24*time.Hour, 96*time.Hour, w.bringUsed)
	if seed%2 == 1 {
		w.every(12*time.Hour, 96*time.Hour, func() { w.managerOffset = w.offset() }) // another manager leads
	}
}

func (w *world) run() {
	for len(w.agenda) > 0 && w.failure == "" {
		e := heap.Pop(&w.agenda).(event)
		if e.at.After(w.end) {
			return
		}
		w.t = e.at
		w.sign()  // everybody signed until now
		w.check() // and every token was tried everywhere
		e.do()
		if w.touched {
			w.sign()
			w.check()
		}
		w.touched = true
		w.events++
	}
}

func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

func (w *world) span(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rng.Int64N(int64(to-from)+1))
}

// offset is a random clock within the bounds, often at one of them.
func (w *world) offset() time.Duration {
	switch w.rng.IntN(4) {
	case 0:
		return w.skew
	case 1:
		return -w.skew
	}
	return w.span(-w.skew, w.skew)
}

func (w *world) after(d time.Duration, do func()) {
	w.names++
	heap.Push(&w.agenda, event{at: w.t.Add(d), seq: w.names, do: do})
}

func (w *world) every(from, to time.Duration, do func()) {
	var again func()
	again = func() {
		do()
		w.after(w.span(from, to), again)
	}
	w.after(w.span(from, to), again)
}

func (w *world) log(format string, args ...any) {
	line := w.t.Format("01-02 15:04:05.000 ") + fmt.Sprintf(format, args...)
	if w.lastLine = append(w.lastLine, line); len(w.lastLine) > 60 {
		w.lastLine = w.lastLine[1:]
	}
}

func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.log("FAILED: %s", w.failure)
	}
}

func (w *world) ready(p *pod) bool {
	return !p.gone && p.doc != nil && len(p.doc.kids) > 0 && !w.t.Before(p.downUntil)
}

func (w *world) now() time.Time { return w.t.Add(w.managerOffset + w.managerLeap) }
