package plugin

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// drawSets draws sets one below the other.
func drawSets(s Screen, reports []SetReport, wide bool, now time.Time) string {
	var parts []string
	for i := range reports {
		parts = append(parts, drawSet(s, &reports[i], wide, now))
	}
	return strings.Join(parts, "\n")
}

func drawSet(s Screen, r *SetReport, wide bool, now time.Time) string {
	var b strings.Builder
	b.WriteString(drawSetTitle(s, r))
	b.WriteString(drawProblems(s, r.Problems, now))
	b.WriteString("\n")
	if len(r.Keys) == 0 {
		b.WriteString("No keys yet: the manager makes the first one once it has seen this set.\n")
	} else {
		b.WriteString(keyTable(s, r, wide, now))
		if line := drawTimeline(s, r, now); line != "" {
			b.WriteString("\n" + line)
		}
	}
	b.WriteString("\n" + drawNext(s, r, now))
	for _, n := range r.Notes {
		b.WriteString(labelled(s, "Note", n))
	}
	return b.String()
}

func drawSetTitle(s Screen, r *SetReport) string {
	how := "rotates every " + spanOf(r.Interval)
	if r.Mode == string(v1alpha1.RotationManual) {
		how = "rotates on request only"
	}
	ready, colour := "not ready", bad
	switch r.Ready {
	case "True":
		ready, colour = "ready", good
	case "Unknown":
		ready, colour = "readiness unknown", wary
	}
	return fmt.Sprintf("%s  %s, %s, %s, revision %d\n",
		s.paint(strong, clean("SigningKeySet "+r.Namespace+"/"+r.Name)), s.paint(colour, ready), r.Algorithm, how, r.Revision)
}

func keyTable(s Screen, r *SetReport, wide bool, now time.Time) string {
	t := &table{
		heads: []string{"KID", "NUMBER", "ALG", "STATE", "CREATED", "PUBLISHED", "SIGNS SINCE", "VERIFIES UNTIL", "LOADED BY"},
		right: map[int]bool{1: true},
	}
	if wide {
		t.heads = append(t.heads, "MAX TOKEN TTL")
	}
	for i := range r.Keys {
		k := &r.Keys[i]
		when, kid := ago, short(k.KID)
		if wide {
			when, kid = func(t, _ time.Time) string { return instant(t) }, k.KID
		}
		until := when(k.VerifiesTill, now)
		if k.State == string(v1alpha1.KeyRetiring) && k.VerifiesTill.IsZero() {
			until = "open"
		}
		row := []cell{
			text(kid), text(fmt.Sprint(k.Number)), text(k.Algorithm), toned(k.State, stateTone(k.State)),
			text(when(k.Created, now)), text(when(k.Published, now)), text(when(k.SignsSince, now)), text(until),
			text(s.count(k.LoadedBy)),
		}
		if wide {
			row = append(row, text(k.MaxTokenTTL))
		}
		t.add(row...)
	}
	return t.String(s)
}

// count writes a count of replicas for the screen.
func (s Screen) count(loaded string) string {
	return strings.Replace(loaded, "≥", s.glyph("≥", ">="), 1)
}

func stateTone(state string) tone {
	switch v1alpha1.KeyState(state) {
	case v1alpha1.KeyActive:
		return good
	case v1alpha1.KeyPublished:
		return calm
	case v1alpha1.KeyPending, v1alpha1.KeyRetiring:
		return wary
	case v1alpha1.KeyRevoked:
		return bad
	default:
		return faint
	}
}

// drawNext says what comes next and what it waits for.
func drawNext(s Screen, r *SetReport, now time.Time) string {
	var b strings.Builder
	if r.PendingRequest != "" {
		b.WriteString(labelled(s, "Asked", "a rotation was asked for ("+r.PendingRequest+") and is not done yet"))
	}
	if r.Next == nil {
		words := "nothing is planned"
		if r.Mode == string(v1alpha1.RotationManual) {
			words += ": rotate with kubectl keyturn rotate " + r.Name + " -n " + r.Namespace
		}
		return b.String() + labelled(s, "Next", words)
	}
	b.WriteString(labelled(s, "Next", nextInWords(r, now)))
	switch {
	case r.Next.WaitsFor != "":
		b.WriteString(labelled(s, "Waits", r.Next.WaitsFor))
	case r.Next.NotBefore.After(now):
		b.WriteString(labelled(s, "Waits", "for that time only"))
	}
	for i := range r.Keys {
		if k := &r.Keys[i]; k.State == string(v1alpha1.KeyRetiring) && k.VerifiesTill.IsZero() {
			b.WriteString(labelled(s, "Open", short(k.KID)+" verifies until every token service is seen signing with a newer key"))
		}
	}
	return b.String()
}

// nextInWords is a sentence such as: 9f2c01aa takes over from b41e02aa, 2026-12-21 10:00Z (in 29d).
func nextInWords(r *SetReport, now time.Time) string {
	n := r.Next
	who := "a new key"
	if n.KID != "" {
		who = short(n.KID)
	}
	var what string
	switch v1alpha1.KeyState(n.To) {
	case v1alpha1.KeyActive:
		what = "signs, as the first key"
		if r.ActiveKID != "" {
			what = "takes over from " + short(r.ActiveKID)
		}
	case v1alpha1.KeyPublished:
		what = "is published"
	case v1alpha1.KeyRemoved:
		what = "is removed"
	default:
		what = "becomes " + n.To
	}
	switch {
	case n.NotBefore.After(now):
		return fmt.Sprintf("%s %s, %s (in %s)", who, what, moment(n.NotBefore, now), span(n.NotBefore.Sub(now)))
	case n.WaitsFor != "" && !n.NotBefore.IsZero():
		return fmt.Sprintf("%s %s, due since %s (%s ago)", who, what, moment(n.NotBefore, now), span(now.Sub(n.NotBefore)))
	case n.WaitsFor != "":
		return fmt.Sprintf("%s %s", who, what)
	}
	return fmt.Sprintf("%s %s now", who, what)
}

const labelWidth = 7

// labelled writes a label and a text that is wrapped beside it.
func labelled(s Screen, label, words string) string {
	var b strings.Builder
	for i, line := range wrap(clean(words), s.columns()-labelWidth) {
		if i > 0 {
			label = ""
		}
		b.WriteString(s.paint(faint, label) + strings.Repeat(" ", labelWidth-len(label)) + line + "\n")
	}
	return b.String()
}
