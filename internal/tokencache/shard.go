package tokencache

import "sync"

// probation is the share of the bytes, as a divisor, that tokens seen once may take from the others.
const probation = 10

// shard is a part of the entries. Both queues hold what the index holds, and entries that another took the place of
// (of the same token): these are dropped when they come to the front.
type shard struct {
	mu    sync.RWMutex
	index map[digest]*entry
	limit int64
	// fresh are the tokens that were not used again yet, as far as the hand has come; kept are the others.
	fresh, kept queue
}

func (s *shard) find(key digest) *entry {
	s.mu.RLock()
	e := s.index[key]
	s.mu.RUnlock()
	return e
}

func (s *shard) held() (entries int, bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.index), s.fresh.bytes + s.kept.bytes
}

// put adds an entry and returns how many that were still good had to go for it.
func (s *shard) put(e *entry, now int64) (evicted uint64) {
	if e.bytes() > s.limit {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index[e.key] = e
	s.fresh.push(e)
	// Tokens of one issuer live equally long, so those at the front end first: memory shrinks with the traffic.
	for s.dropsOver(&s.fresh, now) || s.dropsOver(&s.kept, now) {
	}
	for s.fresh.bytes+s.kept.bytes > s.limit {
		if s.evict() {
			evicted++
		}
	}
	return evicted
}

// dropsOver drops the first entry of the queue if it is over.
func (s *shard) dropsOver(q *queue, now int64) bool {
	e := q.front()
	if e == nil || now < e.until && s.index[e.key] == e {
		return false
	}
	s.drop(q.pop())
	return true
}

// drop forgets an entry that is in no queue any more.
func (s *shard) drop(e *entry) {
	if s.index[e.key] == e {
		delete(s.index, e.key)
	}
}

// evict moves the hand by one entry and tells whether a good one had to go. It ends: whoever is passed by has one hit
// less.
func (s *shard) evict() bool {
	q := &s.kept
	if s.fresh.bytes > s.limit/probation || s.kept.bytes == 0 {
		q = &s.fresh
	}
	e := q.pop()
	if s.index[e.key] != e {
		return false
	}
	if hits := e.hits.Load(); hits > 0 {
		e.hits.Store(hits - 1)
		s.kept.push(e)
		return false
	}
	delete(s.index, e.key)
	return true
}

// take fills an empty shard with the entries of another whose kid is among the keys of same.
func (s *shard) take(from *shard, same map[string]string) {
	from.mu.RLock()
	defer from.mu.RUnlock()
	for _, q := range []struct{ from, to *queue }{{&from.fresh, &s.fresh}, {&from.kept, &s.kept}} {
		for _, e := range q.from.entries[q.from.first:] {
			kid, found := same[e.kid]
			if !found || from.index[e.key] != e || s.fresh.bytes+s.kept.bytes+e.bytes() > s.limit {
				continue
			}
			copied := &entry{key: e.key, from: e.from, until: e.until, kid: kid, text: e.text, ends: e.ends}
			copied.hits.Store(e.hits.Load())
			s.index[e.key] = copied
			q.to.push(copied)
		}
	}
}

// queue is first in, first out.
type queue struct {
	entries []*entry
	first   int
	bytes   int64
}

func (q *queue) push(e *entry) {
	if q.first > 16 && q.first > len(q.entries)/2 { // the room of those that went
		n := copy(q.entries, q.entries[q.first:])
		clear(q.entries[n:])
		q.entries, q.first = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
	q.bytes += e.bytes()
}

func (q *queue) front() *entry {
	if q.first == len(q.entries) {
		return nil
	}
	return q.entries[q.first]
}

// pop takes the first; there must be one.
func (q *queue) pop() *entry {
	e := q.entries[q.first]
	q.entries[q.first] = nil
	q.first++
	q.bytes -= e.bytes()
	return e
}
