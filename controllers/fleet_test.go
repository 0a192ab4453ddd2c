package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// fleet plays the cluster that the API server of these tests has not: it runs the pods of the workloads (cluster_test.go),
// and each pod loads the document that is stored at this moment, whenever it is asked for its status.
type fleet struct {
	w *world

	mu       sync.Mutex
	replicas map[string]*fakeReplica
	faults   map[string]fault // by component: what its replicas do
	broken   []string         // promises that were broken
	secrets  map[string]bool  // private material that replicas were given
	keep     []string         // kids that no edge may lose
	census   snapshot.Census  // what each edge tells of those who use sessions
	told     int              // how often an edge was asked for it and told
	store    fakeStore        // what was revoked
}

// fault is how the replicas of a component misbehave.
type fault struct {
	lag         bool // keep the document that is in force
	unreachable bool
	refuse      bool
	skew        time.Duration
	silent      bool // says nothing of the rollout
	storeDown   bool // a signer cannot write its store
	deaf        bool // an edge hears nothing from the feed
}

// fakeReplica is the memory of one pod.
type fakeReplica struct {
	signer  bool
	header  snapshot.Header
	keys    snapshot.KeySet
	ttl     time.Duration // granted (signer) or accepted (edge)
	refused *snapshot.Refusal
	latest  map[string]time.Time
	rollout *snapshot.Rollout
	counts  snapshot.RolloutCounts
	revoke  []snapshot.Revocation
}

func newFleet(w *world) *fleet {
	return &fleet{w: w, replicas: map[string]*fakeReplica{}, faults: map[string]fault{}, secrets: map[string]bool{}}
}

func (f *fleet) set(component string, to fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[component] = to
}

// Read implements [StatusReader]. It takes the time that it takes: on a busy machine it would be a silent replica else, whose turn
// does not come again while the clock stands still.
func (f *fleet) Read(_ context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	signer := strings.Contains(pod.Name, "-tokenservice")
	component, name := "edge", serviceName+"-edge-snapshot"
	if signer {
		component, name = "signer", serviceName+"-issuer-snapshot"
	}
	if f.does(component).unreachable {
		return nil, errors.New("connection refused")
	}
	var secret corev1.Secret
	err := admin.Get(f.w.ctx, client.ObjectKey{Namespace: f.w.ns, Name: name}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	does := f.faults[component]
	if does.unreachable { // by now
		return nil, errors.New("connection refused")
	}
	r := f.replicas[string(pod.UID)]
	if r == nil {
		r = &fakeReplica{signer: signer, latest: map[string]time.Time{}, counts: snapshot.RolloutCounts{Started: f.w.clock.Now()}}
		f.replicas[string(pod.UID)] = r
	}
	if err == nil && !does.lag {
		f.load(r, secret.Data[snapshotKey], does)
	}
	return f.status(pod.Name, r, does), nil
}

// does is how the replicas of a component behave now.
func (f *fleet) does(component string) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults[component]
}

func (f *fleet) status(name string, r *fakeReplica, does fault) *snapshot.Status {
	now := f.w.clock.Now()
	status := &snapshot.Status{
		Role: "edge", Instance: name, TokenService: r.header.TokenService, KeySet: r.keys.Name, Revision: r.header.Revision, Epoch: r.keys.Epoch,
		ActiveKID: r.keys.Active, Clock: now.Add(does.skew), Refused: r.refused,
	}
	for _, k := range r.keys.Keys {
		status.KIDs = append(status.KIDs, k.KID)
	}
	status.Keys = r.keys.Reported()
	if r.rollout != nil && !does.silent {
		counts := r.counts
		counts.Percent = r.rollout.Percent
		status.Rollout = &counts
	}
	if r.signer {
		status.Role, status.StoreReachable = "issuer", !does.storeDown
		if r.keys.Active != "" {
			r.latest[r.keys.Active] = now.Add(r.ttl)
		}
		status.LatestExpiry, status.LiveTokens = map[string]time.Time{}, map[string]int64{}
		for kid, exp := range r.latest {
			status.LatestExpiry[kid] = exp
			if exp.After(now) {
				status.LiveTokens[kid] = livingTokens
			}
		}
	}
	f.store.play(status, r, does)
	return status
}

// load takes a document as a replica does: fully checked, or refused.
func (f *fleet) load(r *fakeReplica, raw []byte, does fault) {
	next := fakeReplica{signer: r.signer, latest: r.latest, counts: r.counts}
	err := next.decode(raw, f.secrets)
	switch {
	case err == nil && does.refuse:
		err = errors.New("out of order")
	case err == nil && next.keys.Epoch < r.keys.Epoch:
		err = fmt.Errorf("epoch %d after %d", next.keys.Epoch, r.keys.Epoch)
	}
	if err != nil {
		r.refused = &snapshot.Refusal{Revision: next.header.Revision, Reason: "KeyMismatch", Message: err.Error()}
		return
	}
	*r = next
	f.audit(r)
}

func (r *fakeReplica) decode(raw []byte, secrets map[string]bool) error {
	if !r.signer {
		doc, err := snapshot.DecodeEdge(raw)
		r.header, r.keys, r.ttl, r.rollout = doc.Header, doc.Keys, doc.MaxTTL.Std(), doc.Rollout
		return errors.Join(err, checkKeys(doc.Keys))
	}
	doc, err := snapshot.DecodeIssuer(raw)
	if err != nil {
		return err
	}
	r.header, r.keys, r.ttl, r.rollout, r.revoke = doc.Header, doc.Keys, doc.Access.TTL.Std(), doc.Rollout, doc.Revocations
	if doc.Keys.Active == "" && doc.SigningKey.Empty() {
		return checkKeys(doc.Keys) // it knows the keys and signs with none
	}
	private, err := token.ParsePrivate(doc.SigningKey.Reveal())
	if err != nil {
		return err
	}
	secrets[privateMember(doc.SigningKey.Reveal())] = true
	if private.KID() != doc.Keys.Active || r.ttl <= 0 {
		return fmt.Errorf("the signing key is %s, active %s, TTL %s", private.KID(), doc.Keys.Active, r.ttl)
	}
	return checkKeys(doc.Keys)
}

func checkKeys(set snapshot.KeySet) error {
	for _, k := range set.Keys {
		if public, err := token.ParsePublic(k.JWK); err != nil || public.KID() != k.KID {
			return fmt.Errorf("key %s: %w", k.KID, err)
		}
	}
	return nil
}

// audit holds the promises at every load: nobody signs with what an edge does not know, or longer than it accepts, and no
// edge loses a key that has to verify.
func (f *fleet) audit(loaded *fakeReplica) {
	for _, s := range f.replicas {
		for _, e := range f.replicas {
			if !s.signer || s.keys.Active == "" || e.signer || e.keys.Epoch == 0 || loaded != s && loaded != e {
				continue
			}
			if !e.has(s.keys.Active) {
				f.broken = append(f.broken, fmt.Sprintf("a signer uses %s at epoch %d, an edge at epoch %d does not know it", short(s.keys.Active), s.keys.Epoch, e.keys.Epoch))
			}
			if s.ttl > e.ttl {
				f.broken = append(f.broken, fmt.Sprintf("a signer grants %s, an edge accepts %s", s.ttl, e.ttl))
			}
		}
	}
	for _, kid := range f.keep {
		if !loaded.signer && !loaded.has(kid) {
			f.broken = append(f.broken, fmt.Sprintf("an edge lost %s at epoch %d", short(kid), loaded.keys.Epoch))
		}
	}
}

func (r *fakeReplica) has(kid string) bool {
	return slices.ContainsFunc(r.keys.Keys, func(k snapshot.Key) bool { return k.KID == kid })
}

// holds names the kids that no edge may lose from now on.
func (f *fleet) holds(kids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep = kids
}

// report fails a test for every promise that was broken.
func (f *fleet) report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range slices.Compact(slices.Sorted(slices.Values(f.broken))) {
		t.Errorf("broken promise: %s", b)
	}
	f.broken = nil
}

// pardon forgets promises that were broken on purpose.
func (f *fleet) pardon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = nil
}

func (f *fleet) describe() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := ""
	for uid, r := range f.replicas {
		out += fmt.Sprintf("  replica %s signer %t revision %d epoch %d active %s ttl %s refused %v\n", uid[:4], r.signer, r.header.Revision, r.keys.Epoch, short(r.keys.Active), r.ttl, r.refused)
	}
	return out
}

// forget drops pods that are gone.
func (f *fleet) forget(uid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.replicas, uid)
}

// livingTokens is how many unexpired tokens of each key a token service says that it signed.
const livingTokens = 7
