package controllers

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// roomFor tells whether the edge's document, which has them, can be stored.
func roomFor(edge *snapshot.Edge, entries []accessEntry) bool {
	total := 0
	for i := range entries {
		total += entries[i].size
	}
	return total < surelyFits || fits(edge)
}

// fitAccess puts as many policies into the edge's document as it can carry. What the stored document has of them stays as it
// is, and changes are taken over from the oldest policy on: the newest are left out, and returned by name. Keys rotate all the
// same, whatever the policies say. entries are ordered from the oldest on.
func fitAccess(edge *snapshot.Edge, entries []accessEntry, stored []snapshot.AccessPolicy) (left map[string]bool) {
	before := map[string]snapshot.AccessPolicy{}
	for _, p := range stored {
		before[p.Name] = p
	}
	var kept, changed []accessEntry
	for _, entry := range entries {
		was, known := before[entry.doc.Name]
		if raw, err := json.Marshal(was); known && err == nil && sha256.Sum256(raw) == entry.digest {
			kept = append(kept, entry)
			continue
		}
		changed = append(changed, entry)
	}
	with := func(taken int) []accessEntry {
		out := append(slices.Clone(kept), changed[:taken]...)
		for _, entry := range changed[taken:] {
			if was, known := before[entry.doc.Name]; known {
				out = append(out, accessEntry{doc: was})
			}
		}
		return out
	}
	taken := 0
	for low, high := 0, len(changed); low < high; { // the most that fit: each question costs a whole encoding
		middle := (low + high + 1) / 2
		edge.Policies = accessPolicies(with(middle))
		if fits(edge) {
			low, taken = middle, middle
		} else {
			high = middle - 1
		}
	}
	edge.Policies = accessPolicies(with(taken))
	left = map[string]bool{}
	for _, entry := range changed[taken:] {
		left[entry.doc.Name] = true
	}
	return left
}

// surelyFits are bytes of policies that fit into a document whatever else is in it.
const surelyFits = snapshot.MaxBytes / 2

// fits tells whether a document can be stored under any revision.
func fits(edge *snapshot.Edge) bool {
	probe := *edge
	probe.Revision = 1 << 52
	raw, err := snapshot.EncodeEdge(probe)
	return err == nil && len(raw) <= snapshot.MaxBytes-64
}

func accessPolicies(entries []accessEntry) []snapshot.AccessPolicy {
	out := make([]snapshot.AccessPolicy, 0, len(entries))
	for i := range entries {
		out = append(out, entries[i].doc)
	}
	slices.SortFunc(out, func(a, b snapshot.AccessPolicy) int { return strings.Compare(a.Name, b.Name) })
	return out
}
