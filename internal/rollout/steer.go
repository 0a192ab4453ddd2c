package rollout

import "time"

// Rules are everything that steers: they are the same at every replica, as a part of its document. The zero value is a
// service without legacy sessions: pairs are issued, sessions are refused.
type Rules struct {
	// Enabled is whether there are legacy sessions at all.
	Enabled bool
	Cohort  Cohort
	// DualIssue gives members of the cohort a legacy session beside their pair, so that a rollback finds one.
	DualIssue bool
	Schedule  Schedule
}

// Issue is what a login, a refresh or an exchange hands out.
type Issue struct {
	// Pair is an access and a refresh token; Session a legacy session, new or extended.
	Pair, Session bool
	// ClearTokens takes the token cookies away, because the session beside them is the user's credential from now on.
	ClearTokens bool
	// Refused is that nothing is handed out because sessions have ended: legacy_session_sunset.
	Refused bool
}

// stage treats a service without legacy sessions as one after the sunset.
func (r Rules) stage(now time.Time) Stage {
	if !r.Enabled {
		return Sunset
	}
	return r.Schedule.Stage(now)
}

// Login is what an authenticated user gets.
func (r Rules) Login(now time.Time, user string) Issue {
	switch r.stage(now) {
	case Migrating:
		if !r.Cohort.Has(user) {
			return Issue{Session: true}
		}
		return Issue{Pair: true, Session: r.DualIssue}
	default:
		return Issue{Pair: true}
	}
}

// Client is who presents a refresh token.
type Client struct {
	User string
	// Cookies is whether the refresh token came in a cookie; LiveSession whether a live legacy session of the same user
	// came beside it.
	Cookies, LiveSession bool
}

// Refresh is what the holder of a good refresh token gets. A client that keeps its tokens itself always gets a new
// pair: it may have no session to go back to. One with cookies and a live session goes back to the session when the
// user is not in the cohort any more.
func (r Rules) Refresh(now time.Time, client Client) Issue {
	if r.stage(now) != Migrating {
		return Issue{Pair: true}
	}
	browser := client.Cookies && client.LiveSession
	if r.Cohort.Has(client.User) {
		return Issue{Pair: true, Session: r.DualIssue && browser}
	}
	if browser {
		return Issue{Session: true, ClearTokens: true}
	}
	return Issue{Pair: true}
}

// Exchange is what the holder of a valid legacy session gets.
func (r Rules) Exchange(now time.Time, user string) Issue {
	switch r.stage(now) {
	case Sunset:
		return Issue{Refused: true}
	case Deprecated:
		return Issue{Pair: true}
	default:
		if r.Cohort.Has(user) {
			return Issue{Pair: true}
		}
		return Issue{Session: true}
	}
}

// Acceptance is what an edge does with a legacy session.
type Acceptance struct {
	// Accepted is whether a valid session authorizes; where it is not, Brownout says whether only for now.
	Accepted, Brownout bool
	// Announce is whether answers carry Deprecation, Sunset and Link.
	Announce bool
}

// Edge is what a legacy session is worth at an edge. key stands for the session, see [Brownout.Refuses].
func (r Rules) Edge(now time.Time, key string) Acceptance {
	stage := r.stage(now)
	if stage == Sunset {
		return Acceptance{}
	}
	announce := stage == Deprecated
	for _, b := range r.Schedule.Brownouts {
		if b.Refuses(now, key) {
			return Acceptance{Brownout: true, Announce: announce}
		}
	}
	return Acceptance{Accepted: true, Announce: announce}
}

// EndsSession is whether a logout or the revocation of a user ends legacy sessions too.
func (r Rules) EndsSession(now time.Time) bool { return r.stage(now) != Sunset }
