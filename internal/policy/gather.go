package policy

// Place is one place of a request in which a policy looks for a token.
type Place struct {
	Credential
	// Cookie tells that browsers send what is in this place by themselves.
	Cookie bool
	// RejectForeign refuses a token of another issuer instead of looking on.
	RejectForeign bool
}

// Gather makes one credential of those in the places that a policy names, in their order. As with [Combine], where
// several places have one, all must be good and of one user, and a page of another site can do nothing with cookies
// alone. A token of another issuer is none of ours, unless the place says otherwise; it is only told where there is
// nothing else.
func Gather(places []Place, foreignPage bool) Credential {
	found := Credential{Outcome: Absent, Reason: NoCredential}
	for _, p := range places {
		c := p.Credential
		c.Cookie = p.Cookie
		if c.Outcome == Foreign && p.RejectForeign {
			c.Outcome, c.Reason = Invalid, orElse(c.Reason, WrongIssuer)
		}
		switch {
		case c.Outcome == Absent, c.Outcome == Foreign && found.Outcome != Absent:
		case found.Outcome == Absent, found.Outcome == Foreign:
			found = c
		case found.Outcome != Valid: // the first trouble is told
			found.Cookie = found.Cookie && c.Cookie
		case c.Outcome != Valid:
			c.Cookie = c.Cookie && found.Cookie
			found = c
		case c.User != found.User:
			found = Credential{Outcome: Invalid, Reason: ConflictingCredentials, Cookie: found.Cookie && c.Cookie}
		default:
			found.Cookie = found.Cookie && c.Cookie
		}
	}
	if found.Outcome == Valid && found.Cookie && foreignPage {
		return Credential{Outcome: Invalid, Reason: CrossSite, Cookie: true}
	}
	return found
}
