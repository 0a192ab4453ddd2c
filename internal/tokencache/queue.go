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
// its end, and goes as a whole. Caches share those to which nothing more comes.
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
	bytes int64 // of the records from first on, and what the segments behind which another began have left empty
}

// part is a segment, and how far the queue has filled it. Only the last of a queue gets more.
type part struct {
	*segment
	used  uint16 // records
	text  int    // bytes
	empty int64  // bytes that stay empty, beside those that overhead counts
}

// push appends a record with its text. grain is how many a new segment is for.
func (q *queue) push(r record, text string, grain int) place {
	if n := len(q.parts); n == 0 || !q.parts[n-1].fits(text) {
		if n > 0 {
			q.bytes += q.parts[n-1].close()
		}
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
	return int(p.used) < len(p.records) && p.text+len(text) <= len(p.segment.text)
}

// close notes that nothing more comes, and returns what is empty. Long texts leave most of a segment's records unused.
func (p *part) close() int64 {
	left := int64(len(p.records)-int(p.used))*recordBytes + int64(len(p.segment.text)-p.text)
	p.empty = max(left-int64(p.used)*emptyShare, 0)
	return p.empty
}

// copied is a part like p, for another queue to go on with.
func (p *part) copied() part {
	other := *p
	other.segment = &segment{make([]record, len(p.records)), slices.Clone(p.segment.text)}
	for i := range p.used {
		r := &p.records[i]
		other.records[i] = r.again(r.hitCount())
	}
	return other
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
	q.bytes -= p.empty
	q.parts[0] = part{}
	q.parts = q.parts[1:]
	q.gone++
	q.first = 0
}

// shared is a copy with the same segments. Of the last, into which q goes on writing, it has its own: closed half empty
// for each new document, they would take many times what is in them.
func (q *queue) shared() queue {
	other := *q
	other.parts = slices.Clone(q.parts)
	if last := len(other.parts) - 1; last >= 0 {
		other.parts[last] = other.parts[last].copied()
	}
	return other
}

// again is the record for another segment, with so many hits.
func (r *record) again(hits uint32) record {
	return record{key: r.key, from: r.from, until: r.until, hits: hits, begin: r.begin, size: r.size, ends: r.ends, kid: r.kid}
}

// hitCount is how often it was used since the hand came by.
func (r *record) hitCount() uint32 { return atomic.LoadUint32(&r.hits) }
