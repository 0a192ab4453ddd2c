package extauthz

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

const (
	// maxLogged bounds what of a client's words goes into a line of the log.
	maxLogged = 200
	// maxDenials bounds the lines about denials for one reason in any second: strangers cause them, and a flood of bad tokens
	// must not fill the disk. The metrics count all.
	maxDenials = denialsAtOnce + denialsEach
	// denialsAtOnce may come together; from then on there is one for each denialGap. A line costs more than a check and waits
	// for whoever reads the log, and good requests wait with it: with 100 lines a second they waited half as long again
	// beside a flood.
	denialsAtOnce, denialsEach = 20, 10
	denialGap                  = time.Second / denialsEach
	// tellAfter is when a line tells how many were left out.
	tellAfter = time.Second
)

// denialLog bounds the lines about denials, each reason apart: a flood for one hides nothing of another. Lines are written
// at once and not buffered, so that none is lost in a crash. The zero value is ready.
type denialLog struct {
	mu      sync.Mutex
	reasons map[policy.Reason]*denialLines
}

// denialLines are the lines about one reason.
type denialLines struct {
	// full is when so many lines may come together again as ever.
	full    time.Time
	dropped int // and not told of
	level   slog.Level
}

// take tells whether a line may be written; late, that it is the first that is left out and not told of.
func (d *denialLog) take(reason policy.Reason, level slog.Level, now time.Time) (write, late bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.reasons[reason]
	if l == nil {
		if d.reasons == nil {
			d.reasons = map[policy.Reason]*denialLines{}
		}
		l = &denialLines{level: level}
		d.reasons[reason] = l
	}
	wait := l.full.Sub(now)
	if wait < 0 || wait > denialsAtOnce*denialGap { // long ago, or the clock was set back
		wait = 0
	}
	if wait <= (denialsAtOnce-1)*denialGap {
		l.full = now.Add(wait + denialGap)
		return true, false
	}
	l.dropped++
	return false, l.dropped == 1
}

// dropped returns how many lines were left out since it was asked last.
func (d *denialLog) dropped(reason policy.Reason) (int, slog.Level) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.reasons[reason]
	if l == nil {
		return 0, 0
	}
	n := l.dropped
	l.dropped = 0
	return n, l.level
}

// all are the reasons of which there were lines.
func (d *denialLog) all() []policy.Reason {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make([]policy.Reason, 0, len(d.reasons))
	for reason := range d.reasons {
		found = append(found, reason)
	}
	return found
}

// logDenial writes the one line a denial has: what and why, never a token, and of the target never the query, which
// may carry one. Where there are too many for a reason, the rest are counted and told of in one line. A fault of ours, and
// what an audit let through, has its line in any case; so has everything where somebody is debugging.
func (a *Authorizer) logDenial(q question, out outcome, now time.Time) {
	level, message, reason := slog.LevelInfo, "denied", out.Reason
	if out.HTTPStatus() >= 500 {
		level = slog.LevelWarn
	}
	if out.WouldDeny != "" {
		message, reason = "would_deny", out.WouldDeny
	}
	ctx := context.Background()
	if !a.log.Enabled(ctx, level) {
		return
	}
	if out.WouldDeny == "" && reason != policy.InternalError && !a.log.Enabled(ctx, slog.LevelDebug) {
		write, late := a.denials.take(reason, level, now)
		if late {
			time.AfterFunc(tellAfter, func() { a.tellDropped(reason) })
		}
		if !write {
			return
		}
	}
	path, _, _ := strings.Cut(q.target, "?")
	a.log.LogAttrs(ctx, level, message,
		slog.String("decision", out.id), slog.Int("status", out.HTTPStatus()), slog.String("code", string(out.Code)), slog.String("reason", string(reason)),
		slog.String("protocol", q.protocol), slog.String("policy", cut(q.policy)), slog.String("peer", q.peer.String()),
		slog.String("method", cut(q.method)), slog.String("host", cut(q.host)), slog.String("path", cut(path)))
}

// tellDropped tells how many lines about a reason were left out, if any.
func (a *Authorizer) tellDropped(reason policy.Reason) {
	if n, level := a.denials.dropped(reason); n > 0 {
		a.log.LogAttrs(context.Background(), level, "denials_dropped", slog.String("reason", string(reason)), slog.Int("lines_dropped", n))
	}
}

// tellAllDropped tells of all reasons, at the end.
func (a *Authorizer) tellAllDropped() {
	for _, reason := range a.denials.all() {
		a.tellDropped(reason)
	}
}

func cut(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged]
	}
	return s
}
