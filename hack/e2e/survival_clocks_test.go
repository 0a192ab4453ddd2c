package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/token"
)

// clockOffset is how far two of the three verifiers are off, one behind and one ahead. It is the clockSkew of the set too.
var clockOffset = flag.Duration("offset", 2*time.Second, "how far the verifiers' clocks are off in TestRotationsWithWrongClocks")

// times are those of the set while clocks are off: as short as the rules allow.
const (
	jwksAge = time.Second
	slowest = time.Second
)

// offVerifier is a service that verifies tokens by the published JWKS, asks for it as rarely as it may, and has a clock of its
// own.
type offVerifier struct {
	offset time.Duration
	late   time.Duration // it uses what it fetched only so much later
	keys   atomic.Pointer[fetchedKeys]
}

// fetchedKeys verify by what was asked for at an instant.
type fetchedKeys struct {
	token.Verifier
	asked time.Time
}

// follow fetches the keys again and again until ctx ends.
func (v *offVerifier) follow(ctx context.Context, skew time.Duration) error {
	for {
		asked := time.Now()
		set, err := fetchJWKS(ctx)
		if err != nil && ctx.Err() == nil && v.keys.Load() == nil {
			return err
		}
		if !pause(ctx, v.late) {
			return nil
		}
		if err == nil {
			by := token.Verifier{Issuer: theStage.URL, Audiences: []string{"https://api.example.com"}, Keys: set, MaxTTL: time.Hour, Skew: skew}
			v.keys.Store(&fetchedKeys{Verifier: by, asked: asked})
		}
		if !pause(ctx, jwksAge) {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func fetchJWKS(ctx context.Context) (token.KeySet, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, theStage.URL+"/.well-known/jwks.json", nil)
	if err != nil {
		return token.KeySet{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return token.KeySet{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return token.KeySet{}, err
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return token.KeySet{}, fmt.Errorf("status %d: %w", response.StatusCode, err)
	}
	var all []*token.PublicKey
	for _, k := range doc.Keys {
		public, err := token.ParsePublic(k)
		if err != nil {
			return token.KeySet{}, err
		}
		all = append(all, public)
	}
	return token.NewKeySet(all...)
}

// jury are the three verifiers and what they were asked.
type jury struct {
	verifiers                [3]*offVerifier
	prePublish               time.Duration
	good, refused            atomic.Int64 // good tokens that were shown, and refused
	unanswered               atomic.Int64 // calls that nobody decided, as a busy machine has them: no answer, or nginx's own
	slept                    atomic.Int64 // good tokens that were not shown to a verifier that slept
	removed, wronglyAccepted atomic.Int64 // tokens of removed keys that were shown, and accepted

	mu     sync.Mutex
	tokens map[string]time.Time // those that are good, until when
	first  string
}

// show gives every good token to all three, until it expires. A verifier whose keys are older than a key is published before
// it signs is slower than the set allows, as no process can help on a machine that stands still: it may not know the key.
func (j *jury) show() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for raw, until := range j.tokens {
		now := time.Now()
		if now.After(until.Add(-100 * time.Millisecond)) { // it may expire while it is looked at
			delete(j.tokens, raw)
			continue
		}
		for _, v := range j.verifiers {
			by := v.keys.Load()
			if now.Sub(by.asked) > j.prePublish {
				j.slept.Add(1)
				continue
			}
			j.good.Add(1)
			if got := by.Verify(now.Add(v.offset), raw); got.Outcome != policy.Valid {
				j.refused.Add(1)
				if j.first == "" {
					j.first = fmt.Sprintf("clock off by %s: %s", v.offset, got.Reason)
				}
			}
		}
	}
}

// run logs a user in, refreshes every second, calls through the edge, and shows all tokens that are good.
func (j *jury) run(ctx context.Context, t *testing.T) {
	user := theStage.User()
	tokens := login(t, user, bob, bobPassword)
	for {
		j.add(tokens.Access)
		j.show()
		answer, err := user.CallAs(ctx, "/load", tokens.Access)
		if ctx.Err() != nil {
			return
		}
		j.count(t, "a call", answer, err)
		if !pause(ctx, time.Second) {
			return
		}
		next, answer, err := user.Refresh(ctx, tokens.Refresh)
		if ctx.Err() != nil {
			return
		}
		if j.count(t, "a refresh", answer, err) {
			tokens = next
		}
	}
}

// count notes what became of a good token that was shown to the edge or to the token service; true if it was taken.
func (j *jury) count(t *testing.T, what string, answer stage.Answer, err error) bool {
	t.Helper()
	j.good.Add(1)
	switch {
	case err == nil && answer.Status == http.StatusOK:
		return true
	case err != nil || answer.Status >= 500 && answer.Code() == "":
		j.unanswered.Add(1)
	default:
		j.refused.Add(1)
	}
	t.Logf("%s with a good token: %d %s %v", what, answer.Status, answer.Code(), err)
	return false
}

func (j *jury) add(access string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	remember(stage.Tokens{Access: access})
	j.tokens[access] = expiryOf(access)
}

// expiryOf reads `exp`; zero if there is none.
func expiryOf(access string) time.Time {
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if raw, err := base64.RawURLEncoding.DecodeString(payload(access)); err != nil || json.Unmarshal(raw, &claims) != nil {
		return time.Time{}
	}
	return time.Unix(claims.Expires, 0)
}

// accuse shows a token that was just made with a key that the set has removed: to the three and to the edge.
func (j *jury) accuse(t *testing.T, private *token.PrivateKey, claims token.Claims) {
	t.Helper()
	now := time.Now()
	claims.IssuedAt, claims.ExpiresAt, claims.ID = now, now.Add(time.Minute), "forged-"+private.KID()[:16]
	raw, err := token.NewSigner(private).Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range j.verifiers {
		j.removed.Add(1)
		if v.keys.Load().Verify(now.Add(v.offset), raw.Reveal()).Outcome == policy.Valid {
			j.wronglyAccepted.Add(1)
		}
	}
	answer := answered(t, func(ctx context.Context) (stage.Answer, error) {
		return theStage.User().CallAs(ctx, "/load", raw.Reveal())
	})
	j.removed.Add(1)
	if answer.Status == http.StatusOK {
		j.wronglyAccepted.Add(1)
		t.Log("a token of a removed key is good at the edge")
	}
}

// TestRotationsWithWrongClocks rotates under load while three services verify by the JWKS with clocks that are as wrong as the
// set allows. No good token is refused until its last instant, and none of a removed key is accepted.
func TestRotationsWithWrongClocks(t *testing.T) {
	rounds := 10
	if os.Getenv("KEYTURN_SOAK") == "1" {
		rounds = 200
	}
	t.Run(clockOffset.String(), func(t *testing.T) { wrongClocks(t, *clockOffset, rounds) })
	if os.Getenv("KEYTURN_SOAK") == "1" {
		t.Run("1m0s", func(t *testing.T) { wrongClocks(t, time.Minute, 3) })
	}
}

func wrongClocks(t *testing.T, offset time.Duration, rounds int) {
	prePublish := jwksAge + slowest + 2*offset
	spec := fmt.Sprintf(`{"spec":{"clockSkew":%q,"jwks":{"maxAge":%q},"rotation":{"interval":"1h","prePublish":%q,"slowestVerifier":%q}}}`, offset, jwksAge, prePublish, slowest)
	patch(t, "sks", stage.KeySet, spec)
	patch(t, "tpol", stage.Service, `{"spec":{"accessToken":{"ttl":"1m"}}}`)
	defer fast(t)
	defer patch(t, "tpol", stage.Service, `{"spec":{"accessToken":{"ttl":"15m"}}}`)
	eventually(t, inOrder)
	claims := claimsOf(t, payload(login(t, theStage.User(), alice, alicePassword).Access))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	j := &jury{tokens: map[string]time.Time{}, prePublish: prePublish}
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for i, off := range []time.Duration{-offset, 0, offset} {
		v := &offVerifier{offset: off, late: time.Duration(i) * slowest / 2}
		j.verifiers[i] = v
		workers.Go(func() {
			if err := v.follow(ctx, offset); err != nil {
				t.Errorf("the JWKS: %v", err)
			}
		})
	}
	eventually(t, func(context.Context) (string, error) {
		for _, v := range j.verifiers {
			if v.keys.Load() == nil {
				return "a verifier has no keys", nil
			}
		}
		return "", nil
	})
	for range 3 {
		workers.Go(func() { j.run(ctx, t) })
	}
	retired := map[string]*token.PrivateKey{}
	for range rounds {
		if prePublish > 30*time.Second { // longer than Rotate would wait; otherwise it is asked for too early
			awaitStandby(t, prePublish)
		}
		private := signingKey(t)
		retired[private.KID()] = private
		if _, _, err := theStage.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		j.accuseRemoved(t, retired, claims)
	}
	awaitRemoval(t, retired, offset)
	j.accuseRemoved(t, retired, claims)
	cancel()
	workers.Wait()
	t.Logf("%d rotations with clocks off by %s, 0 and %s: %d good tokens shown, %d refused, %d unanswered, %d not shown to verifiers that slept; %d tokens of removed keys shown, %d accepted",
		rounds, -offset, offset, j.good.Load(), j.refused.Load(), j.unanswered.Load(), j.slept.Load(), j.removed.Load(), j.wronglyAccepted.Load())
	if j.refused.Load() > 0 || j.wronglyAccepted.Load() > 0 {
		t.Errorf("the first refusal: %s", j.first)
	}
	if j.slept.Load() > j.good.Load()/4 {
		t.Error("the verifiers slept for so long that little was proved")
	}
	if j.unanswered.Load() > j.good.Load()/100 {
		t.Error("more than one call in a hundred was not answered")
	}
	if j.good.Load() < int64(100*rounds) || j.removed.Load() == 0 {
		t.Error("too little was shown to prove anything")
	}
}

func patch(t *testing.T, kind, name, spec string) {
	t.Helper()
	if _, err := theStage.Kubectl(context.Background(), "patch", kind, name, "-n", stage.Namespace, "--type=merge", "-p", spec); err != nil {
		t.Fatal(err)
	}
}

// awaitStandby waits until the next key may sign. A ring that is full waits for a key to go first.
func awaitStandby(t *testing.T, prePublish time.Duration) {
	t.Helper()
	err := theStage.Await(t.Context(), prePublish+2*time.Minute, func(ctx context.Context) (string, error) {
		ring, ok := tryRing(ctx)
		if !ok || ring.Standby() == nil || ring.Standby().Published.IsZero() {
			return "no key is published", nil
		}
		if time.Since(ring.Standby().Published) < prePublish {
			return "the next key is published, and not long enough", nil
		}
		return "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitRemoval waits until one of the keys is gone.
func awaitRemoval(t *testing.T, retired map[string]*token.PrivateKey, offset time.Duration) {
	t.Helper()
	err := theStage.Await(t.Context(), 3*time.Minute+4*offset, func(ctx context.Context) (string, error) {
		ring, ok := tryRing(ctx)
		if !ok {
			return "there is no ring", nil
		}
		for kid := range retired {
			if ring.Key(kid) == nil {
				return "", nil
			}
		}
		return "every key that retired still verifies: " + states(ring.Keys), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// accuseRemoved shows tokens of the keys that are gone from the ring and from every replica.
func (j *jury) accuseRemoved(t *testing.T, retired map[string]*token.PrivateKey, claims token.Claims) {
	t.Helper()
	ring := liveRing(t)
	var gone []*token.PrivateKey
	for kid, private := range retired {
		if ring.Key(kid) == nil {
			gone = append(gone, private)
		}
	}
	if len(gone) == 0 {
		return
	}
	eventually(t, func(ctx context.Context) (string, error) {
		var service keyturnv1alpha1.TokenService
		if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.Service}, &service); err != nil {
			return "", err
		}
		if service.Status.Epoch < ring.Epoch || service.Status.Edge != "2/2" {
			return "the removal has not reached every edge: " + service.Status.Edge, nil
		}
		for _, v := range j.verifiers {
			for _, private := range gone {
				if v.keys.Load().Keys.Find(private.KID()) != nil {
					return "a verifier has not fetched the keys again", nil
				}
			}
		}
		return "", nil
	})
	for _, private := range gone {
		j.accuse(t, private, claims)
		delete(retired, private.KID())
	}
}
