package extauthz

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/steering"
	"github.com/keyturn/keyturn/internal/tokencache"
)

// Revocations is what the authorizer asks the token service; *feed.Client is one. List and Status are called on every
// check and must neither block nor allocate much.
type Revocations interface {
	List() *revocation.List
	Status() snapshot.RevocationStatus
	// Ask tells what a legacy session is worth. It is called only where there is a rollout, never for a token.
	Ask(ctx context.Context, cookie secret.Text) (feed.SessionAnswer, error)
}

// Config tells an [Authorizer] what it works with. All members but FeedDir and Registry are needed.
type Config struct {
	// Snapshot is the path of the edge document.
	Snapshot string
	// Instance is this replica's unique name, e.g. the pod's.
	Instance string
	// Revocations makes the source of revocations, once the authorizer can tell where the feed is.
	Revocations func(target func() (feed.Target, bool)) (Revocations, error)
	// FeedDir has the file token of the revocation feed, by which the manager's probes are known; empty: there are none.
	FeedDir string
	Log     *slog.Logger
	// Now must carry a monotonic reading, as time.Now does.
	Now func() time.Time
	// Registry takes the metrics; nil means a new one.
	Registry *prometheus.Registry
}

// Authorizer decides. It is safe for concurrent use; use [New].
type Authorizer struct {
	edges       *snapshot.File[Edge]
	revocations Revocations
	instance    string
	log         *slog.Logger
	now         func() time.Time
	metrics     *metrics
	denials     denialLog
	policies    *policyMetrics
	// sessions, counter, census and troubled are for legacy sessions.
	sessions *sessions
	counter  steering.Counter
	census   *census
	troubled oncePerMinute
	probes   probes

	draining  atomic.Bool
	untrusted atomic.Pointer[sighting]
	idPrefix  string
	idCount   atomic.Uint64
}

// sighting is an untrusted peer and when it was seen last.
type sighting struct {
	peer netip.Addr
	at   time.Time
}

// untrustedMemory is how long an untrusted peer stays in the status.
const untrustedMemory = 10 * time.Minute

// New opens the document and returns an authorizer that denies until the document and the revocations are there.
func New(config Config) (*Authorizer, error) {
	if config.Snapshot == "" || config.Instance == "" || config.Revocations == nil || config.Log == nil || config.Now == nil {
		return nil, errors.New("extauthz: Snapshot, Instance, Revocations, Log and Now are needed")
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails
	a := &Authorizer{instance: config.Instance, log: config.Log, now: config.Now, idPrefix: hex.EncodeToString(random) + "-"}
	a.probes.dir = config.FeedDir
	a.metrics = newMetrics(config.Registry)
	a.edges = snapshot.Open(config.Snapshot, a.metrics.counted(Build), config.Log, config.Now)
	revocations, err := config.Revocations(a.feedTarget)
	if err != nil {
		return nil, err
	}
	a.revocations = revocations
	a.sessions = newSessions(revocations, config.Now, a.metrics.asked)
	a.census = newCensus(config.Now)
	a.metrics.watch(a)
	a.policies = newPolicyMetrics(a.metrics.registry, a.policyCount)
	return a, nil
}

func (a *Authorizer) policyCount() float64 {
	edge := a.edges.Load()
	if edge == nil {
		return 0
	}
	return float64(len(edge.policies) - 1) // without the reserved one
}

func (a *Authorizer) feedTarget() (feed.Target, bool) {
	edge := a.edges.Load()
	if edge == nil {
		return feed.Target{}, false
	}
	return edge.feed, true
}

// Ready tells why the replica should get no calls; nil if it should.
func (a *Authorizer) Ready() error {
	switch {
	case a.draining.Load():
		return errors.New("draining")
	case a.edges.Load() == nil:
		return errors.New("no snapshot in force")
	case !a.revocations.Status().Loaded:
		return errors.New("revocations not loaded")
	}
	return nil
}

// Drain makes the replica not ready; it goes on answering.
func (a *Authorizer) Drain() { a.draining.Store(true) }

// state tells how far the revocations can be relied on.
func (a *Authorizer) state(edge *Edge) policy.Edge {
	switch status := a.revocations.Status(); {
	case !status.Loaded:
		return policy.EdgeNotReady
	case !status.Stale:
		return policy.EdgeFresh
	case edge.failClosed:
		return policy.EdgeStaleClosed
	default:
		a.metrics.staleDecisions.Inc()
		return policy.EdgeStaleServing
	}
}

// verify tells what a token is worth; reason is why there is none.
func (a *Authorizer) verify(edge *Edge, raw string, reason policy.Reason, now time.Time) policy.Credential {
	switch reason {
	case "":
	case policy.NoCredential:
		return policy.Credential{Outcome: policy.Absent, Reason: reason}
	default:
		return policy.Credential{Outcome: policy.Invalid, Reason: reason}
	}
	verified := edge.tokens.Verify(now, raw)
	if verified.Outcome == policy.Valid && a.revoked(verified) {
		return policy.Credential{Outcome: policy.Revoked, Reason: policy.ReasonRevoked}
	}
	c := policy.Credential{Outcome: verified.Outcome, Reason: verified.Reason, User: verified.Subject()}
	if edge.tellRole {
		c.Role = verified.Claim("role")
	}
	if edge.tellClaims && verified.Outcome == policy.Valid {
		c.Claims = verified
	}
	return c
}

// revoked is asked for every token, also for those that the cache knows.
func (a *Authorizer) revoked(v tokencache.Verified) bool {
	return a.revocations.List().Revoked(revocation.Credential{
		SessionID: v.SessionID(), User: v.Subject(), KID: v.KID(), TokenID: v.TokenID(),
	})
}

// nextID names a decision: unique for this run of the process, and short enough to be read out on the telephone.
func (a *Authorizer) nextID() string { return a.idPrefix + strconv.FormatUint(a.idCount.Add(1), 36) }

// Status is what the control plane reads.
func (a *Authorizer) Status() snapshot.Status {
	revocations := a.revocations.Status()
	s := snapshot.Status{Role: "edge", Instance: a.instance, Clock: a.now().UTC(), Refused: a.edges.Refused(), Revocations: &revocations, KIDs: []string{}}
	if edge := a.edges.Load(); edge != nil {
		s.Rollout = a.counter.Status(edge.steering, a.now())
		s.TokenService, s.Revision = edge.header.TokenService, edge.header.Revision
		s.KeySet, s.Epoch = edge.keySet, edge.epoch
		s.ActiveKID, s.KIDs, s.Keys = edge.active, edge.verifier.Keys.KIDs(), edge.public
	}
	if seen := a.untrusted.Load(); seen != nil && a.now().Sub(seen.at) < untrustedMemory {
		s.UntrustedPeer = seen.peer.String()
	}
	return s
}
