package policy

import "testing"

// The whole product of a JWT and a session: what is expected is told a second time, as the sentences of the design.
func TestWithSessionProduct(t *testing.T) {
	outcomes := []Outcome{Unknown, Absent, Foreign, Expired, Invalid, Revoked, Valid, 99}
	sessions := []Credential{
		{}, {Outcome: Absent}, {Outcome: Valid, User: "ann", Role: "s"}, {Outcome: Valid, User: "bob", Role: "s"}, {Outcome: Valid, Role: "s"},
		{Outcome: Invalid, Reason: LegacyInvalid}, {Outcome: Invalid, Reason: LegacySunset}, {Outcome: Invalid, Reason: LegacyBrownout},
		{Outcome: Invalid, Reason: MultipleCredentials}, {Outcome: Revoked, Reason: ReasonRevoked}, {Reason: LegacyUnavailable},
	}
	bySession, byToken := 0, 0
	for _, j := range outcomes {
		for _, s := range sessions {
			jwt := Credential{Outcome: j, User: "ann", Role: "j"}
			got := Decide(Input{Edge: EdgeFresh, Policy: Default(), Header: WithSession(jwt, s)})
			replaceable := j == Absent || j == Foreign || j == Expired
			twoSessions := s.Reason == MultipleCredentials
			anothers := s.Outcome == Valid && s.User == "bob"
			wantToken := j == Valid && !twoSessions && !anothers
			wantSession := replaceable && s.Outcome == Valid && s.User != ""
			if got.Allow != (wantToken || wantSession) {
				t.Errorf("%v beside %+v: %+v", j, s, got)
				continue
			}
			switch {
			case wantToken:
				byToken++
				if got.Method != MethodJWT || got.User != "ann" || got.Role != "j" {
					t.Errorf("%v beside %+v: %+v", j, s, got)
				}
			case wantSession:
				bySession++
				if got.Method != MethodSession || got.User != s.User || got.Role != "s" {
					t.Errorf("%v beside %+v: %+v", j, s, got)
				}
			case j == Invalid || j == Revoked:
				if alone := Decide(Input{Edge: EdgeFresh, Policy: Default(), Header: jwt}); got != alone {
					t.Errorf("a session changes a refused token: %v beside %+v: %+v", j, s, got)
				}
			}
		}
	}
	// Ann's and Bob's for each of three outcomes; a valid token beside all sessions but Bob's and two at once.
	if bySession != 6 || byToken != len(sessions)-2 {
		t.Errorf("%d by session, %d by token", bySession, byToken)
	}
	for _, row := range []struct {
		jwt     Outcome
		session Credential
		want    Reason
		status  int
	}{
		{Absent, Credential{Outcome: Absent}, NoCredential, 401},
		{Absent, Credential{Outcome: Invalid, Reason: LegacyInvalid}, LegacyInvalid, 401},
		{Absent, Credential{Outcome: Invalid, Reason: LegacySunset}, LegacySunset, 401},
		{Absent, Credential{Outcome: Invalid, Reason: LegacyBrownout}, LegacyBrownout, 401},
		{Absent, Credential{Outcome: Revoked}, ReasonRevoked, 401},
		{Absent, Credential{Reason: LegacyUnavailable}, LegacyUnavailable, 503},
		{Absent, Credential{}, InternalError, 503},
		{Absent, Credential{Outcome: Valid}, UnusableIdentity, 403},
		{Foreign, Credential{Outcome: Invalid, Reason: LegacyInvalid}, LegacyInvalid, 401},
		{Expired, Credential{Outcome: Invalid, Reason: LegacyInvalid}, ReasonExpired, 401},
		{Expired, Credential{Outcome: Invalid, Reason: LegacySunset}, ReasonExpired, 401},
		{Expired, Credential{Outcome: Revoked}, ReasonExpired, 401},
		{Expired, Credential{Reason: LegacyUnavailable}, LegacyUnavailable, 503},
		{Expired, Credential{Outcome: Invalid, Reason: MultipleCredentials}, MultipleCredentials, 401},
		{Valid, Credential{Outcome: Valid, User: "bob"}, ConflictingCredentials, 401},
		{Valid, Credential{Outcome: Invalid, Reason: MultipleCredentials}, MultipleCredentials, 401},
	} {
		got := Decide(Input{Edge: EdgeFresh, Policy: Default(), Header: WithSession(Credential{Outcome: row.jwt, User: "ann"}, row.session)})
		if got.Reason != row.want || got.HTTPStatus() != row.status {
			t.Errorf("%v beside %+v: %+v, want %s", row.jwt, row.session, got, row.want)
		}
	}
}
