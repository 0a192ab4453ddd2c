package rollout

import "time"

// Window is how long requests are counted before the count says how many legacy sessions are left: a day, because nights
// and weekends differ from noon.
const Window = 24 * time.Hour

// Usage counts the requests of a window of time by the credential that authorized them.
type Usage struct {
	// From is when the window begins, Until up to when it is counted.
	From, Until      time.Time
	Sessions, Tokens uint64
}

func (u Usage) plus(other Usage) Usage {
	u.Sessions += other.Sessions
	u.Tokens += other.Tokens
	return u
}

// Share is the share of the requests that sessions authorized. It is unknown without a request.
func (u Usage) Share() (share float64, known bool) {
	all := u.Sessions + u.Tokens
	if all == 0 {
		return 0, false
	}
	return float64(u.Sessions) / float64(all), true
}

// Census is who still uses sessions: the last whole window, and the one that is being counted. The zero value has seen
// nothing.
type Census struct{ Last, Current Usage }

// Count adds what was counted until now. A window ends after [Window]; one that was left alone for as long again says
// nothing about today and is dropped.
func (c Census) Count(now time.Time, sessions, tokens uint64) Census {
	if c.Current.From.IsZero() || now.Sub(c.Current.Until) > Window || now.Before(c.Current.From) {
		c = Census{Current: Usage{From: now}}
	}
	c.Current.Until = now
	c.Current.Sessions += sessions
	c.Current.Tokens += tokens
	if now.Sub(c.Current.From) >= Window {
		c = Census{Last: c.Current, Current: Usage{From: now, Until: now}}
	}
	return c
}

// Share is the share of both windows together.
func (c Census) Share() (share float64, known bool) { return c.Last.plus(c.Current).Share() }

// Ending is when the sessions may end. The zero value never ends them.
type Ending struct {
	// At is when, at the earliest; zero: never.
	At time.Time
	// RequireBelow is the share of requests by sessions above or at which the end waits, as a fraction; 1: it
	// does not wait.
	RequireBelow float64
	// MaxExtension is how long after At it waits at most; negative: as long as it takes.
	MaxExtension time.Duration
}

// Reasons why the sunset waits.
const (
	// NotYet: its time has not come; NoSunset: there is none.
	NotYet   Reason = "NotYet"
	NoSunset Reason = "NoSunset"
	// NoCensus: nobody has counted for a whole window lately.
	NoCensus Reason = "NoCensus"
	// LegacyTraffic: too many requests are still authorized by sessions.
	LegacyTraffic Reason = "LegacyTraffic"
)

// Reached tells whether the sessions end now, and otherwise why not. It is never true before At. The caller keeps a true
// answer for ever: a session that was refused once stays refused, whatever later counts say.
func (e Ending) Reached(now time.Time, c Census) (reached bool, waiting Reason) {
	switch {
	case e.At.IsZero():
		return false, NoSunset
	case now.Before(e.At):
		return false, NotYet
	case e.RequireBelow >= 1: // no share is too large, so there is nothing to count
		return true, ""
	case e.MaxExtension >= 0 && !now.Before(e.At.Add(e.MaxExtension)):
		return true, ""
	}
	last, known := c.Last.Share()
	if !known || now.Sub(c.Current.Until) > Window {
		return false, NoCensus
	}
	current, counted := c.Current.Share()
	if last >= e.RequireBelow || counted && current >= e.RequireBelow {
		return false, LegacyTraffic
	}
	return true, ""
}
