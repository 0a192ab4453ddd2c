package controllers

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestNudges(t *testing.T) {
	var n nudges
	for i, row := range []struct {
		pod      types.UID
		revision int64
		after    time.Duration
		attempt  int
		due      bool
	}{
		{"a", 1, 0, 1, true},
		{"a", 1, nudgePause - time.Millisecond, 0, false},
		{"b", 1, nudgePause - time.Millisecond, 1, true}, // each pod has its own pause
		{"a", 1, nudgePause, 2, true},
		{"a", 2, nudgePause, 1, true}, // a new revision does not wait
		{"c", 1, 2 * time.Hour, 1, true},
	} {
		attempt, due := n.next(row.pod, row.revision, noon.Add(row.after))
		if attempt != row.attempt || due != row.due {
			t.Errorf("%d: attempt %d due %t, want %d %t", i, attempt, due, row.attempt, row.due)
		}
	}
	if len(n.last) != 1 {
		t.Errorf("%d pods are remembered two hours later", len(n.last))
	}
}

// TestNudgesTire: a pod that never loads its document is told ever more rarely, and never forgotten.
func TestNudgesTire(t *testing.T) {
	var n nudges
	told := []time.Duration{}
	for after := time.Duration(0); after < 5*time.Minute; after += 500 * time.Millisecond {
		if attempt, due := n.next("a", 1, noon.Add(after)); due {
			if told = append(told, after/time.Second); attempt != len(told) {
				t.Errorf("attempt %d after %s, want %d", attempt, after, len(told))
			}
		}
	}
	if want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}; !slices.Equal(told, want) {
		t.Errorf("told after %d seconds, want %d", told, want)
	}
	if most := (nudge{attempt: 1 << 40}).pause(); most != time.Minute {
		t.Errorf("after many attempts the pause is %s", most)
	}
}

func edgeAt(revision int64) replica {
	return replica{pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "edge"}}, status: &snapshot.Status{Revision: revision}}
}

// statusOf answers for every pod.
type statusOf snapshot.Status

func (s statusOf) Read(context.Context, *corev1.Pod) (*snapshot.Status, error) {
	status := snapshot.Status(s)
	return &status, nil
}

// TestAnotherSetsReplica: what a replica holds of another key set acknowledges nothing, and its epoch is no ground to
// suspect a restore.
func TestAnotherSetsReplica(t *testing.T) {
	for set, counts := range map[string]bool{"shop/main": true, "": true, "shop/other": false, "other/main": false} {
		r := edgeAt(0)
		r.signer = true
		r.ask(t.Context(), statusOf{
			KeySet: set, Revision: 9, Epoch: 90, ActiveKID: "a", KIDs: []string{"a"}, Clock: noon, LatestExpiry: map[string]time.Time{"a": noon},
		}, "shop/main", recorded{})
		seen := keysReplicas([]replica{r})[0]
		if !seen.Reachable || seen.Clock != noon {
			t.Errorf("%q: the replica is there and has a clock: %+v", set, seen)
		}
		if told := seen.Epoch > 0 && len(seen.KIDs) > 0 && seen.ActiveKID != "" && len(seen.LatestExp) > 0; told != counts || r.revisionLoaded(9) != counts {
			t.Errorf("%q: counts %t, want %t: %+v", set, told, counts, seen)
		}
		if !counts && (seen.Epoch != 0 || len(seen.KIDs) != 0 || seen.ActiveKID != "" || len(seen.LatestExp) != 0) {
			t.Errorf("%q: something is believed: %+v", set, seen)
		}
	}
}

func TestGrantedTTL(t *testing.T) {
	deaf := replica{pod: &corev1.Pod{}, err: errors.New("refused")}
	signer := edgeAt(1)
	signer.signer = true
	for name, row := range map[string]struct {
		policy, recorded, current, want time.Duration
		replicas                        []replica
	}{
		"first document":           {15, 15, 0, 15, nil},
		"ring has recorded less":   {60, 15, 15, 15, []replica{edgeAt(9)}},
		"raised, all edges know":   {60, 60, 15, 60, []replica{edgeAt(9), edgeAt(10)}},
		"raised, one edge lags":    {60, 60, 15, 15, []replica{edgeAt(9), edgeAt(8)}},
		"raised, one edge is deaf": {60, 60, 15, 15, []replica{edgeAt(9), deaf}},
		"raised, no edge runs":     {60, 60, 15, 60, []replica{signer}},
		"lowered, one edge lags":   {5, 60, 60, 5, []replica{edgeAt(1)}},
	} {
		refs := &resolved{policy: &keyturnv1alpha1.TokenPolicy{}}
		refs.policy.Spec.AccessToken.TTL.Duration = row.policy * time.Minute
		var current *snapshot.Issuer
		if row.current > 0 {
			current = &snapshot.Issuer{Access: snapshot.AccessToken{TTL: snapshot.Duration(row.current * time.Minute)}}
		}
		if got := grantedTTL(refs, row.recorded*time.Minute, current, row.replicas, 9); got != row.want*time.Minute {
			t.Errorf("%s: %s, want %dm", name, got, row.want)
		}
	}
}

func TestNextInWords(t *testing.T) {
	for want, next := range map[string]*keys.NextTransition{
		"none":                      nil,
		"rotate 2026-12-21T12:00Z":  {KID: "k", To: keys.Active, NotBefore: noon.AddDate(0, 1, 0)},
		"rotate 12:30:00Z":          {To: keys.Active, NotBefore: noon.Add(30 * time.Minute)},
		"rotate waits":              {To: keys.Active, NotBefore: noon, BlockedBy: "x"},
		"rotate now":                {To: keys.Active},
		"publish now":               {To: keys.Published, NotBefore: noon},
		"remove b41e02aa 12:59:59Z": {KID: "b41e02aabb", To: keys.Removed, NotBefore: noon.Add(time.Hour - time.Second)},
	} {
		if got := nextInWords(&keys.Plan{Next: next}, noon); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLagging(t *testing.T) {
	deaf := edgeAt(0)
	deaf.status, deaf.err = nil, errors.New("dial: connection refused")
	refusing := edgeAt(3)
	refusing.status.Refused = &snapshot.Refusal{Revision: 4, Reason: "EpochFell", Message: "epoch 2 after 3"}
	for want, r := range map[string]replica{
		"edge has revision 40, wants 41":                       edgeAt(40),
		"edge does not answer: dial: connection refused":       deaf,
		"edge refused revision 4 (EpochFell: epoch 2 after 3)": refusing,
	} {
		if got := lagging(&r, 41); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestWithoutAddress: a message must be the same each time, or each poll would write a new status.
func TestWithoutAddress(t *testing.T) {
	read := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 41234}, Err: errors.New("connection reset by peer")}
	for want, err := range map[string]error{
		"read: connection reset by peer": &url.Error{Op: "Get", URL: "http://10.1.2.3:9090/status", Err: read},
		"no answer within 2s":            &url.Error{Op: "Get", URL: "http://10.1.2.3:9090/status", Err: context.DeadlineExceeded},
		"EOF":                            &url.Error{Op: "Get", URL: "http://10.1.2.3:9090/status", Err: errors.New("EOF")},
	} {
		if got := withoutAddress(err).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	var list []metav1.Condition
	c := conditions{&list, 7}
	c.good("A", "Fine", "100%% of %d", 3)
	if bad := c.firstBad("A", "B"); bad == nil || bad.Type != "B" || bad.Reason != "Progressing" {
		t.Errorf("a condition nobody has looked at counts as good: %+v", bad)
	}
	c.bad("B", "Broken", "%s", strings.Repeat("é", 2000))
	b := c.find("B")
	if len(b.Message) > 1024 || !utf8.ValidString(b.Message) || b.ObservedGeneration != 7 {
		t.Errorf("%d bytes, generation %d", len(b.Message), b.ObservedGeneration)
	}
	if c.find("A").Message != "100% of 3" || c.firstBad("A") != nil || c.firstBad("A", "B").Type != "B" {
		t.Errorf("%+v", list)
	}
}

func TestAnnounce(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	b := &base{recorder: recorder}
	on := func(kind, reason string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Reason: reason, Status: status, Message: strings.Repeat("x", 1020)}
	}
	b.announce(&keyturnv1alpha1.SigningKeySet{},
		[]metav1.Condition{on("Ready", "Ready", "True"), on("Published", "AsExpected", "True")},
		[]metav1.Condition{
			on("Ready", "KeyMaterialLost", "False"), on("Published", "AsExpected", "True"), // no change: no Event
			on("KeyMaterialLost", "KeyMaterialLost", "True"), // a negative one that is new and bad
			on("ClockSkewed", "AsExpected", "False"),         // and one that never was bad
		})
	close(recorder.Events)
	var got []string
	for line := range recorder.Events {
		if len(line) > 1100 {
			t.Errorf("a note of %d bytes is refused by the API server", len(line))
		}
		got = append(got, strings.Join(strings.Fields(line)[:5], " "))
	}
	want := []string{"Warning KeyMaterialLost Ready is False:", "Warning KeyMaterialLost KeyMaterialLost is True:"}
	if !slices.Equal(got, want) {
		t.Errorf("Events %q, want %q", got, want)
	}
}

// TestBelieved: whatever others claim, the manager's next number, and the one after, are believed when the replicas repeat them.
func TestBelieved(t *testing.T) {
	for _, row := range []struct {
		own, said int64
		want      bool
	}{
		{0, 0, true}, {0, 1, true}, {7, 3, true}, {0, -1, false},
		{0, believedEnd - 1, true}, {0, believedEnd, false}, {0, countersEnd - 1, false}, {0, countersEnd, false}, {0, 1<<63 - 1, false},
		{believedEnd, believedEnd, true}, {believedEnd - 1, believedEnd, true}, {believedEnd + 3, believedEnd + 5, true},
		{believedEnd, believedEnd + believedLeap, false}, {countersEnd - 1, countersEnd, false},
	} {
		if got := believed(row.own, row.said); got != row.want {
			t.Errorf("own %d, said %d: %t, want %t", row.own, row.said, got, row.want)
		}
	}
	for _, said := range []int64{0, 1, believedEnd - 1, believedEnd, countersEnd - 1, countersEnd, 1<<63 - 1} {
		own := int64(40)
		for range 5 { // as often as somebody forges it, or as the manager writes
			next := floor(own, said) + 1
			if !believed(own, next) && !believed(next, next) || !credible(next) || next <= own {
				t.Fatalf("said %d: %d follows %d", said, next, own)
			}
			own = next
		}
	}
	if got := floor(3, -1, 1<<60, 7); got != 7 {
		t.Errorf("floor %d, want 7", got)
	}
}
