package plugin

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// drawCensus writes who still uses sessions: routes, user agents and roles beside each other, or below each other where there
// is no room.
func drawCensus(s Screen, c *v1alpha1.LegacyCensus, now time.Time) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n" + s.paint(strong, "WHO STILL USES SESSIONS") + "\n")
	words := fmt.Sprintf("%d requests since %s, as %s edges say", c.Requests, moment(c.Since.Time, now), s.count(c.Replicas))
	if len(c.Routes)+len(c.Agents)+len(c.Roles) > 0 {
		words += ". Behind each line are at least ten users"
	} else if c.Requests > 0 {
		words += ", by fewer than ten users of any kind"
	}
	for _, line := range wrap(clean(words+"."), s.columns()) {
		b.WriteString(line + "\n")
	}
	parts := []censusPart{{"ROUTE", c.Routes}, {"USER AGENT", c.Agents}, {"ROLE", c.Roles}}
	beside := censusTable(parts...).String(s)
	first, _, _ := strings.Cut(beside, "\n")
	if columnsOf(strings.TrimRight(first, " ")) > s.columns() {
		beside = ""
		for _, part := range parts {
			beside += censusTable(part).String(s)
		}
	}
	if len(c.Routes)+len(c.Agents)+len(c.Roles) > 0 {
		for line := range strings.Lines(beside) {
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	return b.String()
}

type censusPart struct {
	head  string
	lines []v1alpha1.CensusLine
}

// censusTable puts lists beside each other; one without lines has no columns.
func censusTable(parts ...censusPart) *table {
	t, rows := &table{right: map[int]bool{}}, 0
	for _, part := range parts {
		if len(part.lines) > 0 {
			t.right[len(t.heads)+1] = true
			t.heads = append(t.heads, part.head, "REQUESTS")
			rows = max(rows, len(part.lines))
		}
	}
	for i := range rows {
		var row []cell
		for _, part := range parts {
			switch {
			case len(part.lines) == 0:
			case i < len(part.lines):
				value := part.lines[i].Value
				if value == "" {
					value = "(none)"
				}
				row = append(row, text(value), text(fmt.Sprint(part.lines[i].Requests)))
			default:
				row = append(row, text(" "), text(" "))
			}
		}
		t.add(row...)
	}
	return t
}
