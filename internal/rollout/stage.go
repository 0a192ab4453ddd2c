package rollout

import "time"

// Stage is how far the end of the legacy sessions has come. The zero value accepts them.
type Stage int

// The stages, in their order.
const (
	// Migrating: both credentials are accepted; the cohort decides what is issued.
	Migrating Stage = iota
	// Deprecated follows it: both are still accepted, but everybody gets JWTs, and answers to sessions say when they end.
	Deprecated
	// Sunset: sessions are refused.
	Sunset
)

// String names the stage as status and metrics do.
func (s Stage) String() string {
	switch s {
	case Deprecated:
		return "Deprecated"
	case Sunset:
		return "Sunset"
	default:
		return "Migrating"
	}
}

// Schedule is the end of the legacy sessions. The zero value has none.
type Schedule struct {
	// Deprecation is when they are announced to end (RFC 9745); zero: never.
	Deprecation time.Time
	// Sunset is when they end (RFC 8594); zero: never.
	Sunset time.Time
	// SunsetReached is set once, when Sunset has come and so few sessions are left that it may take effect. It never goes
	// back: a session that was refused once stays refused.
	SunsetReached bool
	// Brownouts are the rehearsals before.
	Brownouts []Brownout
}

// Stage is the stage at a moment.
func (s Schedule) Stage(now time.Time) Stage {
	switch {
	case s.SunsetReached:
		return Sunset
	case !s.Deprecation.IsZero() && !now.Before(s.Deprecation):
		return Deprecated
	default:
		return Migrating
	}
}

// Brownout is a rehearsal of the sunset: for a while, a part of the sessions is refused.
type Brownout struct {
	Start    time.Time
	Duration time.Duration
	// Percent is the share of the sessions that are refused, 0 to 100.
	Percent int
}

// Refuses tells whether a session is refused at a moment. key is what stands for the session, e.g. the hash of its
// cookie: one session is refused in a whole brownout or not at all, and in each brownout others are.
func (b Brownout) Refuses(now time.Time, key string) bool {
	if now.Before(b.Start) || !now.Before(b.Start.Add(b.Duration)) {
		return false
	}
	return Bucket(b.Start.UTC().Format(time.RFC3339), key) < b.Percent*(Buckets/100)
}
