package plugin

import (
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// mark is what one column of a timeline shows.
type mark byte

const (
	blank mark = iota
	published
	signing
	verifying
)

// marks are their signs: fine, plain, colour.
var marks = map[mark]struct {
	fine, plain string
	tone        tone
}{
	blank:     {" ", " ", plain},
	published: {"░", ".", calm},
	signing:   {"█", "#", good},
	verifying: {"▒", "=", wary},
}

// stretch is a part of a key's life.
type stretch struct {
	from, to time.Time
	what     mark
}

// timeline is a window of time, cut into columns, with one column more for now.
type timeline struct {
	from, now, to time.Time
	past, future  int
}

// futureShare is the least share of the window that lies ahead: 1/8.
const futureShare = 8

// timelineOf chooses the window: from the first key's beginning to a little after the last known instant. It is nil if
// no key says when it began.
func timelineOf(r *SetReport, now time.Time, columns int) *timeline {
	l := timeline{now: now, to: now}
	for i := range r.Keys {
		k := &r.Keys[i]
		for _, t := range []time.Time{k.Created, k.Published, k.SignsSince} {
			if !t.IsZero() && (l.from.IsZero() || t.Before(l.from)) {
				l.from = t
			}
		}
		l.to = later(l.to, k.VerifiesTill)
	}
	if l.from.IsZero() {
		return nil
	}
	if r.Next != nil {
		l.to = later(l.to, r.Next.NotBefore)
	}
	if !l.from.Before(now.Add(-time.Minute)) {
		l.from = now.Add(-time.Minute)
	}
	l.to = later(l.to.Add(l.to.Sub(l.from)/16), now.Add(now.Sub(l.from)/(futureShare-1)))
	l.past = int(float64(columns-1) * float64(now.Sub(l.from)) / float64(l.to.Sub(l.from)))
	l.past = min(max(l.past, 1), columns-2)
	l.future = columns - 1 - l.past
	return &l
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// row marks the columns of one key: the past, then the future.
func (l *timeline) row(stretches []stretch) (past, future []mark) {
	past, future = make([]mark, l.past), make([]mark, l.future)
	for _, s := range stretches {
		fill(past, l.from, l.now, s)
		fill(future, l.now, l.to, s)
	}
	return past, future
}

// fill marks the part of a stretch that lies in a window, one column at least.
func fill(columns []mark, from, to time.Time, s stretch) {
	if s.from.Before(from) {
		s.from = from
	}
	if s.to.After(to) {
		s.to = to
	}
	if !s.from.Before(s.to) {
		return
	}
	at := func(t time.Time) int {
		return int(float64(len(columns)) * float64(t.Sub(from)) / float64(to.Sub(from)))
	}
	first := min(at(s.from), len(columns)-1)
	for i := first; i < max(at(s.to), first+1); i++ {
		columns[i] = s.what
	}
}

// life is what a key did and will do, as far as it is planned. The shortest come last, so that they stay visible.
func life(r *SetReport, k *KeyReport, end, now time.Time) []stretch {
	takeover := end
	if n := r.Next; n != nil && n.To == string(v1alpha1.KeyActive) && n.NotBefore.After(now) {
		takeover = n.NotBefore
	}
	begin := k.Created
	if begin.IsZero() {
		begin = k.Published
	}
	switch v1alpha1.KeyState(k.State) {
	case v1alpha1.KeyPending, v1alpha1.KeyPublished:
		if r.Next == nil || r.Next.KID != k.KID || takeover.Equal(end) {
			return []stretch{{begin, end, published}}
		}
		return []stretch{{begin, takeover, published}, {takeover, end, signing}}
	case v1alpha1.KeyActive:
		out := []stretch{{begin, k.SignsSince, published}, {k.SignsSince, takeover, signing}}
		if takeover.Before(end) {
			out = append(out, stretch{takeover, takeover.Add(k.ttl + 2*r.skew), verifying})
		}
		return out
	case v1alpha1.KeyRetiring:
		until := k.VerifiesTill
		if until.IsZero() {
			until = end
		}
		return []stretch{{begin, k.SignsSince, published}, {k.SignsSince, k.SignedUntil, signing}, {k.SignedUntil, until, verifying}}
	default:
		return nil
	}
}

// drawTimeline draws one row a key, an axis and a legend; empty if there is nothing to draw.
func drawTimeline(s Screen, r *SetReport, now time.Time) string {
	const left = 8 + len(columnGap)
	l := timelineOf(r, now, min(s.columns()-left, 100))
	if l == nil {
		return ""
	}
	bar := s.glyph("│", "|")
	var b strings.Builder
	for i := range r.Keys {
		k := &r.Keys[i]
		past, future := l.row(life(r, k, l.to, now))
		name := clean(short(k.KID))
		b.WriteString(name + strings.Repeat(" ", max(left-columnsOf(name), 1)))
		b.WriteString(strings.TrimRight(s.marked(past)+bar+s.marked(future), " ") + "\n")
	}
	b.WriteString(s.paint(faint, strings.Repeat(" ", left)+l.axis()) + "\n")
	b.WriteString(strings.Repeat(" ", left))
	for _, m := range []struct {
		mark  mark
		words string
	}{{published, "published"}, {signing, "signs"}, {verifying, "verifies only"}} {
		b.WriteString(s.marked([]mark{m.mark}) + " " + m.words + "   ")
	}
	b.WriteString(bar + " now, and right of it what is planned\n")
	return b.String()
}

// marked writes columns, painting runs of one colour at once.
func (s Screen) marked(columns []mark) string {
	var b strings.Builder
	for i := 0; i < len(columns); {
		end := i
		for end < len(columns) && columns[end] == columns[i] {
			end++
		}
		m := marks[columns[i]]
		b.WriteString(s.paint(m.tone, strings.Repeat(s.glyph(m.fine, m.plain), end-i)))
		i = end
	}
	return b.String()
}

// axis labels the ends, and now where there is room.
func (l *timeline) axis() string {
	layout := "15:04:05Z"
	switch d := l.to.Sub(l.from); {
	case d > 72*time.Hour:
		layout = "2006-01-02"
	case d > time.Hour:
		layout = "01-02 15:04Z"
	}
	line := slices.Repeat([]byte{' '}, l.past+1+l.future)
	from, to := l.from.UTC().Format(layout), l.to.UTC().Format(layout)
	if len(from)+len(to) < len(line) {
		copy(line, from)
		copy(line[len(line)-len(to):], to)
	}
	const label = "now"
	if at := l.past - 1; at > len(from) && at+len(label) < len(line)-len(to) {
		copy(line[at:], label)
	}
	return strings.TrimRight(string(line), " ")
}
