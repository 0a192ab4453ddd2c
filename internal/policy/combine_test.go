package policy

import "testing"

// The whole product of two places: what is expected is told a second time, as the questions of the design.
func TestCombineProduct(t *testing.T) {
	outcomes := []Outcome{Unknown, Absent, Foreign, Expired, Invalid, Revoked, Valid, 99}
	users := []string{"ann", "bob", ""}
	allowed, cases := 0, 0
	for _, h := range outcomes {
		for _, c := range outcomes {
			for _, hUser := range users {
				for _, cUser := range users {
					for _, foreign := range []bool{false, true} {
						cases++
						header, cookie := Credential{Outcome: h, User: hUser, Role: "h"}, Credential{Outcome: c, User: cUser, Role: "c"}
						got := Decide(Input{Edge: EdgeFresh, Policy: Default(), Header: Combine(header, cookie, foreign)})
						byHeader := h == Valid && hUser != "" && (c == Absent || c == Foreign || c == Valid && cUser == hUser)
						byCookie := (h == Absent || h == Foreign) && c == Valid && cUser != "" && !foreign
						gathered := Gather([]Place{{Credential: header}, {Credential: cookie, Cookie: true}}, foreign)
						combined := Combine(header, cookie, foreign)
						if gathered.Outcome != combined.Outcome || gathered.Outcome != Absent && gathered != combined {
							t.Errorf("%v %q, %v %q, %t: %+v, but from the same places as sources %+v", h, hUser, c, cUser, foreign, combined, gathered)
						}
						if got.Allow != (byHeader || byCookie) {
							t.Errorf("%v %q, %v %q, %t: %+v", h, hUser, c, cUser, foreign, got)
						}
						if got.Allow {
							allowed++
							if want := map[bool]Decision{true: {User: hUser, Role: "h"}, false: {User: cUser, Role: "c"}}[byHeader]; got.User != want.User || got.Role != want.Role {
								t.Errorf("%v, %v: identity %+v", h, c, got)
							}
						}
					}
				}
			}
		}
	}
	// Header alone: 2 users × 3 users in an absent or foreign cookie × 2; both: 2 × 2; cookie alone: 2 × 3 in an absent or foreign header.
	if want := 24 + 4 + 12; allowed != want {
		t.Errorf("%d of %d are allowed, want %d", allowed, cases, want)
	}
	for _, row := range []struct {
		header, cookie Credential
		foreign        bool
		want           Reason
		status         int
	}{
		{Credential{Outcome: Absent}, Credential{Outcome: Valid, User: "ann"}, true, CrossSite, 403},
		{Credential{Outcome: Absent}, Credential{Outcome: Expired}, true, ReasonExpired, 401},
		{Credential{Outcome: Foreign}, Credential{Outcome: Valid, User: "ann"}, true, CrossSite, 403},
		{Credential{Outcome: Foreign}, Credential{Outcome: Revoked}, false, ReasonRevoked, 401},
		{Credential{Outcome: Foreign, Reason: WrongIssuer}, Credential{Outcome: Absent}, false, WrongIssuer, 401},
		{Credential{Outcome: Valid, User: "ann"}, Credential{Outcome: Valid, User: "bob"}, false, ConflictingCredentials, 401},
		{Credential{Outcome: Valid, User: "ann"}, Credential{Outcome: Revoked}, false, ReasonRevoked, 401},
		{Credential{Outcome: Expired}, Credential{Outcome: Valid, User: "ann"}, false, ReasonExpired, 401},
		{Credential{}, Credential{}, false, InternalError, 503},
	} {
		if got := Decide(Input{Edge: EdgeFresh, Policy: Default(), Header: Combine(row.header, row.cookie, row.foreign)}); got.Reason != row.want || got.HTTPStatus() != row.status {
			t.Errorf("%+v: %+v", row, got)
		}
	}
}

// The whole product of three places, told a second time: who is let in, and that nobody gains by a bad one.
func TestGatherProduct(t *testing.T) {
	var places []Place
	for _, outcome := range []Outcome{Unknown, Absent, Foreign, Expired, Invalid, Revoked, Valid, 99} {
		for _, user := range []string{"ann", "bob"} {
			for bits := range 4 {
				places = append(places, Place{Credential: Credential{Outcome: outcome, User: user}, Cookie: bits&1 != 0, RejectForeign: bits&2 != 0})
			}
		}
	}
	allowed := 0
	for _, a := range places {
		for _, b := range places {
			for _, c := range places {
				for _, foreign := range []bool{false, true} {
					got := Gather([]Place{a, b, c}, foreign)
					users, inHeader, bad := map[string]bool{}, false, false
					for _, p := range []Place{a, b, c} {
						switch {
						case p.Outcome == Valid:
							users[p.User] = true
							inHeader = inHeader || !p.Cookie
						case p.Outcome == Absent, p.Outcome == Foreign && !p.RejectForeign:
						default:
							bad = true
						}
					}
					want := len(users) == 1 && !bad && (inHeader || !foreign)
					if (got.Outcome == Valid) != want || want && !users[got.User] {
						t.Fatalf("%+v %+v %+v %t: %+v", a, b, c, foreign, got)
					}
					if want {
						allowed++
					}
				}
			}
		}
	}
	if allowed == 0 {
		t.Error("nobody is let in")
	}
	valid := Credential{Outcome: Valid, User: "ann"}
	for _, row := range []struct {
		places  []Place
		foreign bool
		want    Reason
	}{
		{nil, true, NoCredential},
		{[]Place{{Credential: Credential{Outcome: Foreign, Reason: WrongIssuer}}}, false, WrongIssuer},
		{[]Place{{Credential: Credential{Outcome: Foreign, Reason: WrongIssuer}}, {Credential: Credential{Outcome: Expired, Reason: ReasonExpired}}}, false, ReasonExpired},
		{[]Place{{Credential: valid}, {Credential: Credential{Outcome: Foreign}, RejectForeign: true}}, false, WrongIssuer},
		{[]Place{{Credential: valid, Cookie: true}}, true, CrossSite},
		{[]Place{{Credential: Credential{Outcome: Foreign}}, {Credential: valid, Cookie: true}}, true, CrossSite},
		{[]Place{{Credential: valid}, {Credential: Credential{Outcome: Valid, User: "bob"}}}, false, ConflictingCredentials},
		{[]Place{{}}, false, ""},
	} {
		if got := Gather(row.places, row.foreign); got.Reason != row.want || got.Outcome == Valid {
			t.Errorf("%+v: %+v", row.places, got)
		}
	}
}
