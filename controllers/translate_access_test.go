package controllers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// noise is text that does not compress.
func noise(seed uint64, size int) string {
	random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // reproducible on purpose
	out := make([]byte, size)
	for i := range out {
		out[i] = byte('!' + random.IntN('~'-'!'))
	}
	return string(out)
}

// heavy is a policy of about so many KiB.
func heavy(namespace, name string, seed uint64, kib int) *keyturnv1alpha1.AccessPolicy {
	acp := &keyturnv1alpha1.AccessPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	acp.Spec.TokenServiceRef.Name = serviceName
	acp.Spec.Accept = []keyturnv1alpha1.AccessCredential{keyturnv1alpha1.AccessJWT}
	for i := range kib / 8 {
		rule := keyturnv1alpha1.AccessRule{Methods: []string{"GET"}}
		for j := range 32 {
			rule.Roles = append(rule.Roles, noise(seed<<16+uint64(i*32+j), 255)) //nolint:gosec // small
		}
		acp.Spec.Rules = append(acp.Spec.Rules, rule)
	}
	return acp
}

func heavyEntry(t *testing.T, name string, seed uint64, kib int) accessEntry {
	t.Helper()
	entry, err := accessDocument(heavy("shop", name, seed, kib), nil)
	if err != nil {
		t.Fatal(err)
	}
	return *entry
}

// TestFitAccess: past the bound the newest changes are left out, what was stored before stays, and the outcome is one that the
// next look does not change.
func TestFitAccess(t *testing.T) {
	var entries []accessEntry
	for i := range 6 {
		entries = append(entries, heavyEntry(t, fmt.Sprintf("p%d", i), uint64(i), 240)) //nolint:gosec // small
	}
	fit := func(entries []accessEntry, stored []snapshot.AccessPolicy) (names []string, left map[string]bool, policies []snapshot.AccessPolicy) {
		edge := &snapshot.Edge{Policies: accessPolicies(entries)}
		if !roomFor(edge, entries) {
			left = fitAccess(edge, entries, stored)
		}
		if !fits(edge) {
			t.Fatal("it does not fit")
		}
		for _, p := range edge.Policies {
			names = append(names, strings.TrimPrefix(p.Name, "shop/"))
		}
		return names, left, edge.Policies
	}
	names, left, stored := fit(entries[:3], nil)
	if len(names) != 3 || len(left) > 0 {
		t.Fatalf("three are too many: %v, left %v", names, left)
	}
	names, left, stored = fit(entries, stored)
	if !slices.Equal(names, []string{"p0", "p1", "p2", "p3"}) || len(left) != 2 || !left["shop/p4"] || !left["shop/p5"] {
		t.Fatalf("%v, left %v", names, left)
	}
	again, left, _ := fit(entries, stored)
	if !slices.Equal(names, again) || len(left) != 2 {
		t.Errorf("the second look has %v, left %v", again, left)
	}
	// An old one that grows keeps its last good version and takes nobody's place.
	grown := slices.Clone(entries[:4])
	grown[1] = heavyEntry(t, "p1", 99, 480)
	names, left, policies := fit(grown, stored)
	if len(names) != 4 || len(left) != 1 || !left["shop/p1"] {
		t.Fatalf("%v, left %v", names, left)
	}
	if len(policies[1].Rules) != 30 {
		t.Errorf("it has %d rules, its last good version 30", len(policies[1].Rules))
	}
	// Room is made by a deletion.
	names, left, _ = fit(append([]accessEntry{entries[0]}, entries[2:5]...), stored)
	if !slices.Equal(names, []string{"p0", "p2", "p3", "p4"}) || len(left) > 0 {
		t.Errorf("%v, left %v", names, left)
	}
}

// TestFitAccessCountsPlainBytes: a document that compresses well may be too large to be read.
func TestFitAccessCountsPlainBytes(t *testing.T) {
	entry := heavyEntry(t, "p", 1, 480)
	entries := make([]accessEntry, 30)
	for i := range entries {
		entries[i] = entry
		entries[i].doc.Name = fmt.Sprintf("shop/p%d", i)
		entries[i].doc.Rules = slices.Repeat([]snapshot.AccessRule{{Path: "/" + strings.Repeat("a", 1000), PathType: "Exact"}}, 400)
		entries[i].size = 400 << 10
	}
	edge := &snapshot.Edge{Header: snapshot.Header{Format: snapshot.EdgeFormat}, Policies: accessPolicies(entries)}
	if roomFor(edge, entries) {
		t.Fatal("12 MB of JSON fit")
	}
	left := fitAccess(edge, entries, nil)
	raw, err := snapshot.EncodeEdge(*edge)
	if err != nil || len(left) == 0 {
		t.Fatalf("left %d: %v", len(left), err)
	}
	if _, err := snapshot.DecodeEdge(raw); err != nil {
		t.Errorf("what was stored cannot be read: %v", err)
	}
}

// TestAccessFull fills the document on a real API server: the newest is told, the last good one stays, keys go on, and it comes
// in when there is room.
func TestAccessFull(t *testing.T) {
	w := newWorld(t)
	serving(w)
	for i := range 3 {
		name := fmt.Sprintf("p%d", i)
		acp := heavy(w.ns, name, uint64(i), 400) //nolint:gosec // small
		w.create(acp)
		if i < 2 {
			w.accessReady(name)
			w.afterThisSecond(name)
		}
	}
	full := w.accessSays("p2", keyturnv1alpha1.ConditionAccepted, metav1.ConditionFalse, keyturnv1alpha1.ReasonSnapshotFull)
	if !strings.Contains(full.Message, "make this one or others smaller") {
		t.Errorf("says %s", full.Message)
	}
	w.accessReady("p0")
	w.compiledAre("p0", "p1")
	w.eventually("the TokenService says so", func() string {
		service := w.service()
		ready := (conditions{&service.Status.Conditions, 0}).find(keyturnv1alpha1.ConditionReady)
		if ready.Reason != keyturnv1alpha1.ReasonSnapshotFull || !strings.Contains(ready.Message, w.ns+"/p2") {
			return ready.Message
		}
		return ""
	})
	before := w.set().Status.ActiveKid
	w.request("now")
	w.clock.step(25 * time.Hour) // prePublish
	w.eventually("the key rotates all the same", func() string {
		if w.set().Status.ActiveKid == before {
			return "not yet"
		}
		return ""
	})
	w.compiledAre("p0", "p1")
	w.remove(w.newAccess("p0"))
	w.accessReady("p2")
	w.compiledAre("p1", "p2")
}
