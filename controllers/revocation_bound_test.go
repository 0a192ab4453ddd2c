package controllers

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// TestRevocationsBeyondTheBound: those for which the document has no room say so and wait, and are carried out as soon as others
// are; each once. KEYTURN_SOAK=1 does it with the bound as it is.
func TestRevocationsBeyondTheBound(t *testing.T) {
	const more = 3
	w := newQuietWorld(t)
	if w.room = 20; os.Getenv("KEYTURN_SOAK") == "1" {
		w.room = maxRevocations
	}
	w.startManager()
	w.declare()
	w.eventually("settle", w.unhealthy)
	w.fleet.set("signer", fault{storeDown: true})
	name := func(i int) string { return fmt.Sprintf("s-%04d", i) }
	for i := range w.room + more {
		w.create(w.newRevocation(name(i), ofSession(fmt.Sprintf("3k9z.%021dA", i))))
	}
	reasons := func() (found map[string]int) {
		found = map[string]int{}
		for i := range w.room + more {
			c := conditions{&w.revocation(name(i)).Status.Conditions, 0}.find(toldEnforced)
			if c == nil {
				found["none"]++
				continue
			}
			found[c.Reason]++
			if c.Reason == keyturnv1alpha1.ReasonSnapshotFull && !strings.Contains(c.Message, fmt.Sprintf("%d older revocations of TokenService %s are not enforced yet", w.room, serviceName)) {
				t.Fatalf("message %q", c.Message)
			}
		}
		return found
	}
	w.eventually("all but a few are in the document", func() string {
		got := reasons()
		if got[keyturnv1alpha1.ReasonStoreUnavailable] != w.room || got[keyturnv1alpha1.ReasonSnapshotFull] != more {
			return fmt.Sprint(got)
		}
		return ""
	})
	if listed := w.revokedInDocument(); len(listed) != w.room {
		t.Errorf("the document has %d, wants %d", len(listed), w.room)
	}
	w.fleet.set("signer", fault{})
	w.eventually("all are enforced", func() string {
		if got := reasons(); got[keyturnv1alpha1.ReasonEnforced] != w.room+more {
			return fmt.Sprint(got)
		}
		return ""
	})
	written := map[string]int{}
	for _, entry := range w.fleet.written() {
		written[entry.Value]++
	}
	for i := range w.room + more {
		if sid := fmt.Sprintf("3k9z.%021dA", i); written[sid] != 1 {
			t.Errorf("%s was written %d times", sid, written[sid])
		}
	}
}

// crowd are so many revocations of users with the longest names that there are, the first the oldest.
func crowd(n int, now time.Time) (all []*keyturnv1alpha1.Revocation) {
	for i := range n {
		name := make([]byte, revocation.MaxValueBytes*3/4)
		_, _ = rand.Read(name) // which nothing compresses
		rev := &keyturnv1alpha1.Revocation{}
		rev.Name, rev.UID = fmt.Sprint(i), types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", (i*7919)%n))
		rev.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(i) * time.Second))
		rev.Spec.User = &keyturnv1alpha1.UserRevocation{Subject: base64.RawURLEncoding.EncodeToString(name)}
		all = append(all, rev)
	}
	return all
}

// TestFitRevocations: whoever waits longest has the room, what is enforced leaves it to others, and no number of them makes the
// document larger than a Secret may be.
func TestFitRevocations(t *testing.T) {
	const more = 501
	all := crowd(maxRevocations+more, time.Now())
	carried := map[string]bool{}
	for round := 0; len(carried) < len(all); round++ {
		if round > 2 {
			t.Fatalf("after %d rounds %d of %d were carried", round, len(carried), len(all))
		}
		entries, left := fitRevocations(slices.Clone(all), maxRevocations)
		if len(entries) != maxRevocations || len(left) != more {
			t.Fatalf("%d entries, %d left", len(entries), len(left))
		}
		for _, rev := range all {
			if in := !left[string(rev.UID)]; in && !enforced(rev) {
				carried[rev.Name] = true
			} else if !in && !enforced(rev) && round > 0 {
				t.Fatalf("round %d: %s has no room yet, though %d others are enforced", round, rev.Name, maxRevocations)
			}
		}
		if round == 0 {
			checkOldest(t, all, left)
			checkSize(t, entries)
		}
		for _, rev := range all { // what was in the document is enforced
			if !left[string(rev.UID)] {
				rev.Status.Conditions = []metav1.Condition{{Type: keyturnv1alpha1.ConditionEnforced, Status: metav1.ConditionTrue}}
			}
		}
	}
	if entries, left := fitRevocations(all, len(all)); len(entries) != len(all) || len(left) != 0 {
		t.Errorf("with room for all: %d entries, %d left", len(entries), len(left))
	}
}

func checkOldest(t *testing.T, all []*keyturnv1alpha1.Revocation, left map[string]bool) {
	t.Helper()
	for i, rev := range all {
		if left[string(rev.UID)] != (i >= maxRevocations) {
			t.Fatalf("number %d by age: left %t", i, left[string(rev.UID)])
		}
	}
}

// checkSize: they leave room for what else is in a document.
func checkSize(t *testing.T, entries []snapshot.Revocation) {
	t.Helper()
	doc := snapshot.Issuer{Revocations: entries}
	raw, err := snapshot.EncodeIssuer(doc)
	if err != nil || len(raw) > snapshot.MaxBytes*5/8 {
		t.Errorf("%d bytes of at most %d (error %v)", len(raw), snapshot.MaxBytes, err)
	}
	t.Logf("%d revocations of users with names of %d bytes: %d bytes of a document of at most %d", len(entries), revocation.MaxValueBytes, len(raw), snapshot.MaxBytes)
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		t.Error("it is not compressed")
	}
}
