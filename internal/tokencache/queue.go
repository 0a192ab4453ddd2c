package tokencache

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// The room of a segment, for tokens as they are mostly: 4 and 8 KiB. That of a small cache is smaller.
const (
	segmentRecords = 56
	textOfRecord   = 146
)

// segment is memory for the records of tokens that came one after the other. It is written once, from its beginning to
// its end, and goes as a whole. Two caches may share it, of which one writes.
type segment struct {
	records []record
	text    []byte
}

// entry is the record at a place that was written.
func (s *segment) entry(at uint16) entry {
	r := &s.records[at]
	return entry{r, unsafe.String(unsafe.SliceData(s.text[r.begin:]), int(r.size))} // is not written again
}

// place is where a record is: in which queue, in which segment of all that queue ever had, and where in that.
type place struct {
	segment uint32
	at      uint16
	kept    bool
}

// queue is first in, first out. It is the memory of its records: one leaves at the front only, and with the last of a
// segment the segment goes.
type queue struct {
	parts []part
	gone  uint32 // segments that went, which is the number of the first of parts
	first uint16 // the next record to go, in the first of parts
	kept  bool
	bytes int64 // of the records from first on
}

// part is a segment, and how far the queue has filled it.
type part struct {
	*segment
	used   uint16 // records
	text   int    // bytes
	closed bool   // to more
}

// push appends a record with its text. grain is how many a new segment is for.
func (q *queue) push(r record, text string, grain int) place {
	if n := len(q.parts); n == 0 || !q.parts[n-1].fits(text) {
		room := max(grain*textOfRecord, len(text))
		q.parts = append(q.parts, part{segment: &segment{make([]record, grain), make([]byte, room)}})
	}
	last := len(q.parts) - 1
	p := &q.parts[last]
	r.begin = uint16(p.text) //nolint:gosec // a segment has less than 64 KiB
	p.text += copy(p.segment.text[p.text:], text)
	p.records[p.used] = r
	p.used++
	q.bytes += r.bytes()
	return place{q.gone + uint32(last), p.used - 1, q.kept} //nolint:gosec // a few segments
}

func (p *part) fits(text string) bool {
	return !p.closed && int(p.used) < len(p.records) && p.text+len(text) <= len(p.segment.text)
}

// find is the record at a place of this queue.
func (q *queue) find(p place) entry { return q.parts[p.segment-q.gone].entry(p.at) }

// front is the first record and its place. There is none where parts is empty.
func (q *queue) front() (entry, place) {
	return q.parts[0].entry(q.first), place{q.gone, q.first, q.kept}
}

// pop lets the first record go.
func (q *queue) pop() {
	p := &q.parts[0]
	q.bytes -= p.records[q.first].bytes()
	if q.first++; q.first < p.used {
		return
	}
	// Nothing is left in it. What may still be written into it is not worth keeping it.
	q.parts[0] = part{}
	q.parts = q.parts[1:]
	q.gone++
	q.first = 0
}

// shared is a copy that shares all segments and writes into none of them.
func (q *queue) shared() queue {
	other := *q
	other.parts = slices.Clone(q.parts)
	for i := range other.parts {
		other.parts[i].closed = true
	}
	return other
}

// again is the record for another place, with so many hits.
func (r *record) again(hits uint32) record {
	return record{key: r.key, from: r.from, until: r.until, hits: hits, size: r.size, ends: r.ends, kid: r.kid}
}

// hitCount is how often it was used since the hand came by.
func (r *record) hitCount() uint32 { return atomic.LoadUint32(&r.hits) }
