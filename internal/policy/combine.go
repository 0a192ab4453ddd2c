package policy

// Combine makes one credential of those in the Authorization header and in the cookie; either may be Absent. foreignPage
// tells that another site's page may have made a browser send the request, which it can with a cookie, and with a header
// cannot.
//
// Where both places have a credential, both must be good and of one user: nobody gains by putting a broken one, or
// somebody else's, beside a good one. A token of another issuer is none of ours, in either place, and is only told where
// there is nothing else: the result is that of [Gather] for the same two places.
func Combine(header, cookie Credential, foreignPage bool) Credential {
	switch {
	case cookie.Outcome == Absent, cookie.Outcome == Foreign && header.Outcome != Absent:
		return header
	case header.Outcome == Absent, header.Outcome == Foreign:
		cookie.Cookie = true
		if cookie.Outcome == Valid && foreignPage {
			return Credential{Outcome: Invalid, Reason: CrossSite, Cookie: true}
		}
		return cookie
	case header.Outcome != Valid:
		return header
	case cookie.Outcome != Valid:
		return cookie
	case header.User != cookie.User:
		return Credential{Outcome: Invalid, Reason: ConflictingCredentials}
	}
	return header
}
