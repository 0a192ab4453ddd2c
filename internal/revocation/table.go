package revocation

import (
	"hash/maphash"
	"maps"
	"sync/atomic"
	"time"
)

// shards is how many parts a table has: a change copies one part, 1/1024 of the entries.
const shards = 1024

var seed = maphash.MakeSeed()

// table is a map from value to mark whose readers take no lock: each shard is an immutable map behind a pointer.
// The zero value is empty. Writers must be serialised by the owner.
type table struct {
	shard [shards]atomic.Pointer[map[string]mark]
}

func (t *table) of(value string) *atomic.Pointer[map[string]mark] {
	return &t.shard[maphash.String(seed, value)%shards]
}

func (t *table) get(value string) (mark, bool) {
	if value == "" {
		return mark{}, false
	}
	part := t.of(value).Load()
	if part == nil {
		return mark{}, false
	}
	m, found := (*part)[value]
	return m, found
}

func (t *table) has(value string) bool {
	_, found := t.get(value)
	return found
}

// put adds or merges by copying one shard, and tells whether value is new.
func (t *table) put(value string, m mark) bool {
	at := t.of(value)
	var next map[string]mark
	if old := at.Load(); old != nil {
		next = maps.Clone(*old)
	} else {
		next = make(map[string]mark, 1)
	}
	last, found := next[value]
	next[value] = last.merge(m)
	at.Store(&next)
	return !found
}

// fill is put in place, for a table that no reader sees yet.
func (t *table) fill(value string, m mark) bool {
	at := t.of(value)
	part := at.Load()
	if part == nil {
		part = &map[string]mark{}
		at.Store(part)
	}
	last, found := (*part)[value]
	(*part)[value] = last.merge(m)
	return !found
}

// keep merges what another table has into t, which no reader sees yet, and returns how many values are new.
func (t *table) keep(last *table) int {
	kept := 0
	for i := range last.shard {
		part := last.shard[i].Load()
		if part == nil {
			continue
		}
		for value, m := range *part {
			if t.fill(value, m) {
				kept++
			}
		}
	}
	return kept
}

func (t *table) expired(now time.Time) bool {
	for i := range t.shard {
		if part := t.shard[i].Load(); part != nil {
			for _, m := range *part {
				if m.expires.Before(now) {
					return true
				}
			}
		}
	}
	return false
}

func (t *table) prune(now time.Time) int {
	removed := 0
	for i := range t.shard {
		old := t.shard[i].Load()
		if old == nil {
			continue
		}
		next := make(map[string]mark, len(*old))
		for value, m := range *old {
			if !m.expires.Before(now) {
				next[value] = m
			}
		}
		if len(next) != len(*old) {
			removed += len(*old) - len(next)
			t.shard[i].Store(&next)
		}
	}
	return removed
}
