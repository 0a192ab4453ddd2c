package controllers

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Bounds of the census in a status.
const (
	// censusEvery is how often the edges are asked, and so how often an answer is written at most.
	censusEvery    = 5 * time.Minute
	maxCensusLines = 10
	maxCensusValue = 128
	maxCensusDays  = 64
)

// CensusReader asks one edge who still uses legacy sessions.
type CensusReader interface {
	Census(ctx context.Context, pod *corev1.Pod) (*snapshot.Census, error)
}

// Census returns what the pod answers, as [HTTPStatus.Read] does.
func (h *HTTPStatus) Census(ctx context.Context, pod *corev1.Pod) (*snapshot.Census, error) {
	var census snapshot.Census
	if err := h.get(ctx, pod, "census", &census); err != nil {
		return nil, err
	}
	if census.Instance != pod.Name {
		return nil, fmt.Errorf("its address answers as %q", census.Instance)
	}
	return &census, nil
}

// censusTimes remembers when the edges of a rollout were asked. It is memory only: a manager that starts asks at once. The
// zero value is ready; it is safe for concurrent use.
type censusTimes struct {
	mu    sync.Mutex
	asked map[types.UID]time.Time
}

// due tells whether it is time, and if so notes that it was done.
func (c *censusTimes) due(of types.UID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, asked := c.asked[of]; asked && now.Sub(last) < censusEvery && !now.Before(last) {
		return false
	}
	if c.asked == nil {
		c.asked = map[types.UID]time.Time{}
	}
	c.asked[of] = now
	return true
}

// observeCensus asks the edges, when it is time, and takes their answer over if it is another one. Where nobody answers,
// what was told before stays.
func (r *authRolloutReconciler) observeCensus(ctx context.Context, s *rolloutStep, replicas []replica) {
	known := &s.aro.Status.Census.Legacy
	if r.census == nil || !s.aro.Status.SunsetReachedTime.IsZero() || s.now.Sub(known.ReadTime.Time) < censusEvery && !s.now.Before(known.ReadTime.Time) ||
		!r.asked.due(s.aro.UID, s.now) {
		return
	}
	edges := slices.DeleteFunc(slices.Clone(replicas), func(r replica) bool { return r.signer || r.status == nil })
	all := make([]*snapshot.Census, len(edges))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(statusAtOnce)
	for i := range edges {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, statusTimeout)
			defer cancel()
			all[i], _ = r.census.Census(ctx, edges[i].pod) // one that does not answer is missing in the number of replicas
			return nil
		})
	}
	_ = group.Wait() // nothing fails
	total := 0
	for i := range replicas {
		if !replicas[i].signer {
			total++
		}
	}
	found := mergeCensus(slices.DeleteFunc(all, func(c *snapshot.Census) bool { return c == nil }), total)
	found.ReadTime = seconds(s.now)
	if found.Replicas == "" || sameCensus(known, found) {
		return
	}
	*known = *found
}

// sameCensus tells whether nothing worth a write has changed: when nobody uses sessions, since when is all the same.
func sameCensus(a, b *keyturnv1alpha1.LegacyCensus) bool {
	return a.Requests == b.Requests && (a.Requests == 0 || a.Since.Equal(&b.Since) && a.Replicas == b.Replicas) &&
		slices.Equal(a.Routes, b.Routes) && slices.Equal(a.Agents, b.Agents) && slices.Equal(a.Roles, b.Roles)
}

// mergeCensus adds up what the edges tell. Each edge tells only of values that it has seen from at least ten users, and what
// is added up here is only what was told. So behind every line there are ten users at one edge at least, and none comes
// into being by adding: the numbers of users are not known here, because one user at two edges would be counted twice, and
// ten edges with one and the same user each would look like a crowd. The price is that a value with nine users at each of
// two edges stays hidden, and that an edge's requests for a value that it does not tell are missing in that line.
func mergeCensus(all []*snapshot.Census, total int) *keyturnv1alpha1.LegacyCensus {
	out := &keyturnv1alpha1.LegacyCensus{}
	if len(all) == 0 {
		return out
	}
	out.Replicas = fmt.Sprintf("%d/%d", len(all), total)
	var requests uint64
	var routes, agents, roles [][]snapshot.CensusLine
	for _, c := range all {
		if since := seconds(c.Since); out.Since.IsZero() || since.Before(&out.Since) {
			out.Since = since
		}
		requests = plus(requests, c.Requests)
		routes, agents, roles = append(routes, c.Routes), append(agents, c.Agents), append(roles, c.Roles)
	}
	out.Requests = signed(requests)
	out.Routes, out.Agents, out.Roles = mergeLines(routes), mergeLines(agents), mergeLines(roles)
	return out
}

func mergeLines(all [][]snapshot.CensusLine) []keyturnv1alpha1.CensusLine {
	sums := map[string]uint64{}
	for _, lines := range all {
		for _, line := range lines {
			value := clip(line.Value, maxCensusValue)
			sums[value] = plus(sums[value], line.Requests)
		}
	}
	var out []keyturnv1alpha1.CensusLine
	for value, requests := range sums {
		out = append(out, keyturnv1alpha1.CensusLine{Value: value, Requests: signed(requests)})
	}
	slices.SortFunc(out, func(a, b keyturnv1alpha1.CensusLine) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Value, b.Value))
	})
	return out[:min(len(out), maxCensusLines)]
}

// plus adds without beginning anew at 0.
func plus(a, b uint64) uint64 {
	if b > math.MaxUint64-a {
		return math.MaxUint64
	}
	return a + b
}

// countUsage adds what was counted until now, and keeps each window that is over.
func countUsage(status *keyturnv1alpha1.CensusStatus, now time.Time, sessions, tokens uint64) {
	before := status.Last
	next := censusStatus(censusOf(*status).Count(now, sessions, tokens))
	status.Last, status.Current = next.Last, next.Current
	if next.Last.From.IsZero() || next.Last.From.Equal(&before.From) {
		return
	}
	status.Days = append(status.Days, next.Last)
	if len(status.Days) > maxCensusDays {
		status.Days = halved(status.Days)
	}
}

// halved makes one of each two neighbours: a rollout of months keeps its whole story in a bounded space.
func halved(days []keyturnv1alpha1.UsageStatus) []keyturnv1alpha1.UsageStatus {
	var out []keyturnv1alpha1.UsageStatus
	for pair := range slices.Chunk(days, 2) {
		first, last := pair[0], pair[len(pair)-1]
		if len(pair) == 2 {
			first.Until = metav1.Time{Time: last.Until.Time}
			first.Sessions, first.Tokens = signed(plus(natural(first.Sessions), natural(last.Sessions))), signed(plus(natural(first.Tokens), natural(last.Tokens)))
		}
		out = append(out, first)
	}
	return out
}
