package policy

import "testing"

// Where everybody may come in, what only a browser sends is nobody's if it is not good; what somebody put into a header is
// refused, whatever is beside it.
func TestAnonymousBesideWorthlessCredentials(t *testing.T) {
	open := &Policy{AcceptJWT: true, AcceptSession: true, Rules: []Rule{{Path: "/login", Anonymous: true}}}
	absent, valid := Credential{Outcome: Absent, Reason: NoCredential}, Credential{Outcome: Valid, User: "ann"}
	revoked, expired, broken := Credential{Outcome: Revoked}, Credential{Outcome: Expired}, Credential{Outcome: Invalid, Reason: BadSignature}
	over, down, twice := Credential{Outcome: Invalid, Reason: LegacyInvalid}, Credential{Reason: LegacyUnavailable}, Credential{Outcome: Invalid, Reason: MultipleCredentials}
	for _, row := range []struct {
		name                    string
		header, cookie, session Credential
		foreignPage             bool
		want                    Reason
	}{
		{"a revoked cookie", absent, revoked, absent, false, Anonymous},
		{"an expired cookie", absent, expired, absent, false, Anonymous},
		{"a broken cookie", absent, broken, absent, false, Anonymous},
		{"two cookies", absent, twice, absent, false, Anonymous},
		{"a good cookie, another site's page", absent, valid, absent, true, Anonymous},
		{"a good cookie", absent, valid, absent, false, OK},
		{"a foreign header, a revoked cookie", Credential{Outcome: Foreign}, revoked, absent, false, Anonymous},
		{"a revoked header", revoked, absent, absent, false, ReasonRevoked},
		{"an expired header", expired, absent, absent, false, ReasonExpired},
		{"a broken header", broken, absent, absent, false, BadSignature},
		{"two headers", twice, absent, absent, false, MultipleCredentials},
		{"both broken", broken, broken, absent, false, BadSignature},
		{"a good header, a revoked cookie", valid, revoked, absent, false, ReasonRevoked},
		{"a session that is over", absent, absent, over, false, Anonymous},
		{"a session that was revoked", absent, absent, revoked, false, Anonymous},
		{"two sessions", absent, absent, twice, false, Anonymous},
		{"a session nobody can validate", absent, absent, down, false, Anonymous},
		{"the same beside an expired cookie", absent, expired, down, false, Anonymous},
		{"the same beside an expired header", expired, absent, down, false, LegacyUnavailable},
		{"a good session", absent, expired, valid, false, OK},
		{"a good session beside a broken cookie", absent, broken, valid, false, Anonymous},
		{"a fault", Credential{}, Credential{}, absent, false, InternalError},
	} {
		given := WithSession(Combine(row.header, row.cookie, row.foreignPage), row.session)
		d := Decide(Input{Edge: EdgeFresh, Policy: open, Request: Request{Method: "GET", Target: "/login"}, Header: given})
		if d.Reason != row.want || d.Allow != (row.want == Anonymous || row.want == OK) || (d.User != "") != (row.want == OK) {
			t.Errorf("%s: %+v, want %s", row.name, d, row.want)
		}
		if d = Decide(Input{Edge: EdgeFresh, Policy: open, Request: Request{Method: "GET", Target: "/"}, Header: given}); d.Allow != (row.want == OK) {
			t.Errorf("%s, elsewhere: %+v", row.name, d)
		}
	}
}
