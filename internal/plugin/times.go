package plugin

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// ago is an instant as its distance from now, as kubectl writes ages; "in 5m" if it lies ahead.
func ago(t, now time.Time) string {
	switch {
	case t.IsZero():
		return nothing
	case t.After(now):
		return "in " + span(t.Sub(now))
	}
	return span(now.Sub(t))
}

// span is a duration in one or two units, never negative.
func span(d time.Duration) string { return duration.HumanDuration(max(d, 0)) }

// spanOf is a Go duration in words; a text that is none stays.
func spanOf(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	return span(d)
}

// instant is the absolute form, in UTC.
func instant(t time.Time) string {
	if t.IsZero() {
		return nothing
	}
	return t.UTC().Format(time.RFC3339)
}

// moment is an instant for a sentence: precise to the second when it is near.
func moment(t, now time.Time) string {
	if d := t.Sub(now).Abs(); d < time.Hour {
		return t.UTC().Format("15:04:05Z")
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

// short is how a kid is written in a table or a sentence.
func short(kid string) string { return kid[:min(len(kid), 8)] }
