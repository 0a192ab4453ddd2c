package controllers

import (
	"fmt"
	"strings"
	"time"
)

// markdown is report.md.
func (r *rolloutReport) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The end of the legacy sessions of %s/%s", r.Namespace, r.TokenService)
	line("")
	line("AuthRollout `%s/%s` has moved the users of TokenService `%s` from legacy sessions to JWTs.", r.Namespace, r.Name, r.TokenService)
	line("Legacy sessions are refused since **%s**, with %d%% of the users in the cohort.", r.SunsetReached.Format(rolloutInstant), r.Percent)
	line("")
	line("| date | |")
	line("|---|---|")
	line("| %s | the AuthRollout was created |", r.Created.Format(rolloutInstant))
	if !r.Deprecation.IsZero() {
		line("| %s | the end was announced |", r.Deprecation.Format(rolloutInstant))
	}
	if !r.SunsetAnnounced.IsZero() {
		line("| %s | the sunset was announced for; it wants less than %s legacy traffic |", r.SunsetAnnounced.Format(rolloutInstant), inTable(r.RequireLegacyBelow))
	}
	line("| %s | the sunset%s |", r.SunsetReached.Format(rolloutInstant), r.delay())
	line("")
	r.writeChanges(line, "Timeline", r.Timeline, fmt.Sprintf("Steps: %s. The last %d changes are kept.", percents(r.Steps), maxHistory))
	r.writeChanges(line, "Rollbacks", r.Rollbacks, "None that is known.")
	r.writeTraffic(line)
	r.writeCensus(line)
	return b.String()
}

// delay says how long the sunset waited.
func (r *rolloutReport) delay() string {
	waited := r.SunsetReached.Sub(r.SunsetAnnounced).Round(time.Minute)
	if r.SunsetAnnounced.IsZero() || waited <= 0 {
		return ""
	}
	return fmt.Sprintf(", %s after its date", strings.TrimSuffix(waited.String(), "0s"))
}

func percents(steps []int32) string {
	var out []string
	for _, step := range steps {
		out = append(out, fmt.Sprintf("%d%%", step))
	}
	return strings.Join(out, ", ")
}

func (r *rolloutReport) writeChanges(line func(string, ...any), title string, changes []reportChange, otherwise string) {
	line("## %s", title)
	line("")
	if title == "Timeline" || len(changes) == 0 {
		line("%s", otherwise)
		line("")
	}
	if len(changes) == 0 {
		return
	}
	line("| time | change | from | to | by | why |")
	line("|---|---|---|---|---|---|")
	for _, c := range changes {
		line("| %s | %s | %d%% | %d%% | %s | %s |", c.Time.Format(rolloutInstant), inTable(c.Change), c.From, c.To, inTable(c.By), inTable(c.Why))
	}
	line("")
}

func (r *rolloutReport) writeTraffic(line func(string, ...any)) {
	line("## Legacy traffic over time")
	line("")
	if len(r.LegacyTraffic) == 0 {
		line("Nothing was counted.")
		line("")
		return
	}
	line("Requests by the credential that authorized them, as far as the manager has counted them.")
	line("")
	line("| from | until | sessions | tokens | share of sessions |")
	line("|---|---|---|---|---|")
	for _, u := range r.LegacyTraffic {
		share := "-"
		if all := u.Sessions + u.Tokens; all > 0 {
			share = fmt.Sprintf("%.2f%%", float64(u.Sessions)/float64(all)*100)
		}
		line("| %s | %s | %d | %d | %s |", u.From.Format(rolloutInstant), u.Until.Format(rolloutInstant), u.Sessions, u.Tokens, share)
	}
	line("")
}

func (r *rolloutReport) writeCensus(line func(string, ...any)) {
	line("## Who still used sessions")
	line("")
	c := r.Census
	if c == nil {
		line("No edge has told.")
		return
	}
	line("%d requests since %s, as %s edges said at %s. Behind each line are at least ten users.", c.Requests, c.Since.Format(rolloutInstant), inTable(c.Replicas), c.Read.Format(rolloutInstant))
	for _, part := range []struct {
		title string
		lines []reportLine
	}{{"Route", c.Routes}, {"User agent", c.Agents}, {"Role", c.Roles}} {
		if len(part.lines) == 0 {
			continue
		}
		line("")
		line("| %s | requests |", part.title)
		line("|---|---|")
		for _, l := range part.lines {
			value := "(none)"
			if l.Value != "" {
				value = "`" + inTable(l.Value) + "`"
			}
			line("| %s | %d |", value, l.Requests)
		}
	}
}

// inTable is a text that stays one cell of one row, whatever somebody wrote: roles and ids of commands are other people's.
func inTable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return ' '
		case strings.ContainsRune("|`<>[]\\", r):
			return '·'
		}
		return r
	}, text)
}
