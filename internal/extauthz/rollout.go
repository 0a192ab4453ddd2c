package extauthz

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// counted adds a decision to what the guard of the rollout reads. Only decisions about a known user have a side. What
// fails without the user's doing: nobody can tell what the session is worth, the user's name cannot be told to the
// application, or token and session name two users, which happens when the two are not mapped alike. The last two a user
// can bring about, so they count once a minute for each user. took is how long the decision took, the question about a
// session included.
func (a *Authorizer) counted(edge *Edge, j judged, d policy.Decision, q question, now time.Time, took time.Duration) {
	s := edge.steering
	if s == nil {
		return
	}
	side := s.Side(j.user)
	switch {
	case d.Allow:
		bySession := d.Method == policy.MethodSession
		a.counter.Credential(s, now, bySession)
		a.counter.Event(s, now, side, false, took)
		if bySession {
			a.census.saw(d.User, d.Role, q)
		}
	case d.Reason == policy.LegacyUnavailable:
		a.counter.Event(s, now, side, true, took)
	case d.Reason == policy.UnusableIdentity, d.Reason == policy.ConflictingCredentials && j.other != "":
		if a.troubled.first(j.user, now) {
			a.counter.Event(s, now, side, true, took)
		}
	}
}

// audit tells of two users in one request: a mistake of the application, of the mapping, or an attack.
func (a *Authorizer) audit(j judged, out outcome) {
	if j.other == "" || out.Reason != policy.ConflictingCredentials {
		return
	}
	a.log.LogAttrs(context.Background(), slog.LevelWarn, "conflicting_credentials",
		slog.String("decision", out.id), slog.String("token_user", cut(j.user)), slog.String("session_user", cut(j.other)))
}

// oncePerMinute remembers, in a fixed space, who was there in this minute. Two users may share a place; then one of them
// is not counted.
type oncePerMinute struct {
	seen [1024]atomic.Uint64
}

var onceSeed = maphash.MakeSeed()

func (o *oncePerMinute) first(user string, now time.Time) bool {
	who := maphash.String(onceSeed, user)
	minute := uint64(now.Unix() / 60) //nolint:gosec // only compared
	mark := who ^ minute*0x9e3779b97f4a7c15
	return o.seen[who%uint64(len(o.seen))].Swap(mark) != mark
}
