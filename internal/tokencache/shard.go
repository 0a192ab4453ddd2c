package tokencache

import "sync"

// probation is the share of the bytes, as a divisor, that tokens seen once may take from the others.
const probation = 10

// shard is a part of the records. Its queues hold what the index holds, and records that another took the place of
// (mostly of the same token): these are dropped when they come to the front.
type shard struct {
	mu    sync.RWMutex
	index map[uint64]place
	limit int64
	grain int // records of a segment
	// fresh are the tokens that were not used again yet, as far as the hand has come; kept are the others.
	fresh, kept queue
}

func newShard(limit int64) shard {
	return shard{
		index: map[uint64]place{}, limit: limit, kept: queue{kept: true},
		grain: int(min(max(limit/(16*(overhead+textOfRecord)), 1), segmentRecords)), // what is empty must be small beside the limit
	}
}

func (s *shard) find(key digest) (entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, found := s.index[short(key)]
	if !found {
		return entry{}, false
	}
	e := s.queue(p).find(p)
	return e, e.key == key
}

func (s *shard) queue(p place) *queue {
	if p.kept {
		return &s.kept
	}
	return &s.fresh
}

func (s *shard) held() (entries int, bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.index), s.bytes()
}

func (s *shard) bytes() int64 { return s.fresh.bytes + s.kept.bytes }

// put adds a record and returns how many that were still good had to go for it.
func (s *shard) put(r record, text string, now int64) (evicted uint64) {
	if r.bytes() > s.limit {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index[short(r.key)] = s.fresh.push(r, text, s.grain)
	// Tokens of one issuer live equally long, so those at the front end first: memory shrinks with the traffic.
	for s.dropsOver(&s.fresh, now) || s.dropsOver(&s.kept, now) {
	}
	return s.shrink()
}

// shrink evicts until the bytes are within the limit.
func (s *shard) shrink() (evicted uint64) {
	for s.bytes() > s.limit {
		if s.evict() {
			evicted++
		}
	}
	return evicted
}

// current tells whether the index means this record at this place, and not another.
func (s *shard) current(e entry, at place) bool {
	p, found := s.index[short(e.key)]
	return found && p == at
}

// dropsOver drops the first record of the queue if it is over.
func (s *shard) dropsOver(q *queue, now int64) bool {
	if len(q.parts) == 0 {
		return false
	}
	e, at := q.front()
	current := s.current(e, at)
	if current && now < e.until {
		return false
	}
	if current {
		delete(s.index, short(e.key))
	}
	q.pop()
	return true
}

// evict moves the hand by one record and tells whether a good one had to go. It ends: whoever is passed by has one hit
// less.
func (s *shard) evict() bool {
	q := &s.kept
	if s.fresh.bytes > s.limit/probation || s.kept.bytes == 0 {
		q = &s.fresh
	}
	e, at := q.front()
	current, hits := s.current(e, at), e.hitCount()
	switch {
	case !current:
	case hits > 0:
		s.index[short(e.key)] = s.kept.push(e.again(hits-1), e.text, s.grain)
	default:
		delete(s.index, short(e.key))
	}
	q.pop()
	return current && hits == 0
}

// take fills an empty shard with the records of another that are of one of the keys. The memory is that of both, until
// they come to the front here.
func (s *shard) take(from *shard, keys map[uint16]bool) {
	from.mu.RLock()
	defer from.mu.RUnlock()
	s.fresh, s.kept = from.fresh.shared(), from.kept.shared()
	for key, p := range from.index {
		if keys[s.queue(p).find(p).kid] {
			s.index[key] = p
		}
	}
	s.shrink()
}
