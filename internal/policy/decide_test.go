package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

// story is an Input with what is true of it, told by whoever wrote the row and not by the code.
type story struct {
	Input
	// open: the rule about /open matches; post: that about POST; twoReadings: the path has two.
	open, post, twoReadings bool
}

// The product of what comes before a policy, and of what a credential can be, over a few policies.
func TestDecideProduct(t *testing.T) {
	edges := []Edge{EdgeNotReady, EdgeFresh, EdgeStaleServing, EdgeStaleClosed, 99}
	refusals := []Reason{"", SpoofedIdentity, BadRequestTarget, UntrustedPeer, MissingDialectHeader}
	policies := []*Policy{nil, {}, Default(), {Audit: true}, {AcceptJWT: true, Audit: true, LoginURL: "/login"}, {Preflight: true}}
	outcomes := []Outcome{Unknown, Absent, Foreign, Expired, Invalid, Revoked, Valid, 99}
	reasons := []Reason{"", OK, BadSignature, MultipleCredentials}
	users := []string{"", "ann", "a\nb", "ä", " ann", strings.Repeat("u", MaxIdentityBytes+1)}
	roles := []string{"", "admin", "ad\x00min", "admin "}
	allowed, cases := 0, 0
	for _, edge := range edges {
		for _, refusal := range refusals {
			for _, p := range policies {
				for _, outcome := range outcomes {
					for _, reason := range reasons {
						for _, user := range users {
							for _, role := range roles {
								cases++
								in := Input{Edge: edge, Refusal: refusal, Policy: p, Request: Request{Method: "GET", Target: "/"}}
								in.Header = Credential{Outcome: outcome, Reason: reason, User: user, Role: role}
								if judge(t, story{Input: in}).Allow && p != nil && !p.Audit {
									allowed++
								}
							}
						}
					}
				}
			}
		}
	}
	// Fresh and stale-but-serving, no refusal, the default policy, Valid, any of four reasons, one good user, two good roles.
	if want := 2 * 4 * 1 * 2; allowed != want {
		t.Errorf("%d of %d cases are allowed, want %d", allowed, cases, want)
	}
}

// The product of all policies and requests, over what a credential can be.
func TestPolicyProduct(t *testing.T) {
	requests := []story{
		{Input: Input{Request: Request{Method: "GET", Target: "/x?/open"}}},
		{Input: Input{Request: Request{Method: "GET", Target: "/open/%61?b", Navigation: true}}, open: true},
		{Input: Input{Request: Request{Method: "POST", Target: "/open"}}, open: true, post: true},
		{Input: Input{Request: Request{Method: "POST", Target: "/opener", Navigation: true}}, post: true},
		{Input: Input{Request: Request{Method: "GET", Target: "/open/%2e%2e/x", Navigation: true}}, twoReadings: true},
		{Input: Input{Request: Request{Method: "OPTIONS", Target: "/x", Preflight: true}}},
		{Input: Input{Request: Request{Method: "GET", Target: "/x", Preflight: true}}},
		{},
	}
	requests[len(requests)-1].twoReadings = true // a request about which nothing is known
	credentials := credentials()
	kinds := map[Reason]int{}
	for _, p := range policies() {
		for _, s := range requests {
			for _, c := range credentials {
				s.Edge, s.Policy, s.Header = EdgeFresh, p, c
				kinds[judge(t, s).Reason]++
			}
		}
	}
	for _, r := range []Reason{OK, Anonymous, Preflight, Audited, AmbiguousPath, InsufficientRole, NoCredential, UnusableIdentity, InternalError, LegacyUnavailable} {
		if kinds[r] == 0 {
			t.Errorf("the product never comes to %s", r)
		}
	}
}

// policies are all there are, of two values for everything that a policy says.
func policies() (all []*Policy) {
	open, post := Rule{Path: "/open/", Prefix: true, Anonymous: true}, Rule{Methods: []string{"PUT", "POST"}, Roles: []string{"buyer"}}
	for bits := range 1 << 7 {
		is := func(bit int) bool { return bits&(1<<bit) != 0 }
		for _, rules := range [][]Rule{nil, {open}, {post}, {open, post}, {post, open}} {
			p := &Policy{AcceptJWT: is(0), AcceptSession: is(1), Preflight: is(2), Audit: is(3), Rules: rules}
			if is(4) {
				p.Roles = []string{"clerk", "admin"}
			}
			if is(5) {
				p.LoginURL = "/login"
			}
			if is(6) {
				p.Claims = []string{"sid"}
			}
			all = append(all, p)
		}
	}
	return all
}

func credentials() (all []Credential) {
	for _, outcome := range []Outcome{Unknown, Absent, Foreign, Expired, Invalid, Revoked, Valid, 99} {
		for _, reason := range []Reason{"", BadSignature, LegacyInvalid, LegacySunset, LegacyBrownout, LegacyUnavailable} {
			for _, method := range []Method{"", MethodSession} {
				for _, user := range []string{"", "ann", "a\nb"} {
					for _, role := range []string{"", "admin", "buyer"} {
						all = append(all, Credential{Outcome: outcome, Reason: reason, Method: method, User: user, Role: role})
					}
				}
				for _, role := range []string{"", "buyer"} { // names do not depend on where a credential came in
					all = append(all, Credential{Outcome: outcome, Reason: reason, Method: method, User: "ann", Role: role, Cookie: true})
				}
			}
		}
	}
	return append(all,
		Credential{Outcome: Valid, User: "ann", Role: "admin", Claims: sessionID("s1")},
		Credential{Outcome: Valid, User: "ann", Role: "admin", Claims: sessionID("s\r\n1")})
}

// judge compares the code's decision with the one that the questions come to.
func judge(t *testing.T, s story) Decision {
	t.Helper()
	got := Decide(s.Input)
	want, status := expected(s)
	told := got.User != "" || got.Role != "" || got.Method != ""
	audited := s.Policy != nil && s.Policy.Audit && status >= 400 && !hard(want)
	if audited {
		good := good(s)
		if !got.Allow || got.HTTPStatus() != 200 || got.Reason != Audited || got.WouldDeny != want || told != good || good && got.User != "ann" || got.LoginURL != "" {
			t.Fatalf("%+v of %+v = %+v, want %s audited", s, s.Policy, got, want)
		}
		return got
	}
	redirected := status == 401 && s.Request.Navigation && s.Policy.LoginURL != ""
	if redirected {
		status = 302
	}
	if got.Allow != (status == 200) || got.Reason != want || got.HTTPStatus() != status || got.WouldDeny != "" || (got.LoginURL != "") != redirected {
		t.Fatalf("%+v of %+v = %+v, want %s %d", s, s.Policy, got, want, status)
	}
	switch {
	case !got.Allow && (got.Code == "" || told):
		t.Fatalf("%+v = %+v: a denial has a code and no identity", s, got)
	case want == OK && (got.User != s.Header.User || got.Role != s.Header.Role || got.Method == "" || got.Code != ""):
		t.Fatalf("%+v = %+v: wrong identity", s, got)
	case got.Allow && want != OK && told:
		t.Fatalf("%+v = %+v: nobody has an identity", s, got)
	}
	return got
}

// hard are the refusals that are not the policy's.
func hard(r Reason) bool {
	switch r {
	case NotReady, StaleRevocations, InternalError, NoPolicy, SpoofedIdentity, BadRequestTarget, UntrustedPeer, MissingDialectHeader:
		return true
	}
	return false
}

// good tells whether the credential says who the user is, and may be told.
func good(s story) bool {
	c := s.Header
	kind := c.Method == "" && s.Policy.AcceptJWT || c.Method == MethodSession && s.Policy.AcceptSession
	printable := c.Claims == nil || c.Claims.Claim("sid") == "s1" || len(s.Policy.Claims) == 0
	return kind && c.Outcome == Valid && c.User == "ann" && (c.Role == "" || c.Role == "admin" || c.Role == "buyer") && printable
}

// expected asks the questions of the design in their order.
func expected(s story) (Reason, int) {
	p, c := s.Policy, s.Header
	switch {
	case s.Edge == EdgeStaleClosed:
		return StaleRevocations, 503
	case s.Edge != EdgeFresh && s.Edge != EdgeStaleServing:
		return NotReady, 503
	case s.Refusal != "":
		return s.Refusal, 403
	case p == nil:
		return NoPolicy, 403
	}
	var first *Rule // that matches, by what the story says
	paths := false
	for i := range p.Rules {
		r := &p.Rules[i]
		paths = paths || r.Path != ""
		if first == nil && (r.Path != "" && s.open || r.Path == "" && s.post) {
			first = r
		}
	}
	if paths && s.twoReadings {
		return AmbiguousPath, 403
	}
	if p.Preflight && s.Request.Method == "OPTIONS" && s.Request.Preflight {
		return Preflight, 200
	}
	needed, anonymous := p.Roles, false
	if first != nil {
		needed, anonymous = first.Roles, first.Anonymous
	}
	return expectedOf(s, c, needed, anonymous)
}

func expectedOf(s story, c Credential, needed []string, anonymous bool) (Reason, int) {
	given := c.Reason != "" && c.Reason != OK
	unavailable := (c.Outcome == Unknown || c.Outcome == 99) && c.Reason == LegacyUnavailable
	if (c.Method == "" && !s.Policy.AcceptJWT || c.Method == MethodSession && !s.Policy.AcceptSession) &&
		(c.Outcome != Unknown && c.Outcome != 99 || unavailable) {
		c, given, unavailable = Credential{Outcome: Absent}, false, false
	}
	over := c.Outcome == Invalid && (c.Reason == LegacyInvalid || c.Reason == LegacySunset || c.Reason == LegacyBrownout)
	stale := c.Cookie && (c.Outcome == Expired || c.Outcome == Revoked || c.Outcome == Invalid) // in the browser, which goes on sending it
	unknown := c.Cookie && c.Outcome == Unknown && unavailable
	switch {
	case anonymous && (c.Outcome == Absent || c.Outcome == Foreign || over || stale || unknown):
		return Anonymous, 200
	case c.Outcome == Absent:
		return NoCredential, 401
	case (c.Outcome == Foreign || c.Outcome == Invalid) && c.Reason == LegacyUnavailable:
		return LegacyUnavailable, 503
	case (c.Outcome == Foreign || c.Outcome == Invalid) && given:
		return c.Reason, 401
	case c.Outcome == Foreign:
		return WrongIssuer, 401
	case c.Outcome == Invalid:
		return MalformedToken, 401
	case c.Outcome == Expired:
		return ReasonExpired, 401
	case c.Outcome == Revoked:
		return ReasonRevoked, 401
	case unavailable:
		return LegacyUnavailable, 503
	case c.Outcome != Valid:
		return InternalError, 503
	case !good(s):
		return UnusableIdentity, 403
	case len(needed) == 0 || slices.Contains(needed, c.Role):
		return OK, 200
	}
	return InsufficientRole, 403
}

func TestZeroValuesDeny(t *testing.T) {
	if d := Decide(Input{}); d.Allow || d.HTTPStatus() != 503 {
		t.Errorf("the zero Input gives %+v", d)
	}
	for _, status := range []int{0, 200, 204, 302, 399, 600, -1} {
		if d := (Decision{Status: status}); d.Allow || d.HTTPStatus() != 403 {
			t.Errorf("a Decision without Allow and with status %d answers %d", status, d.HTTPStatus())
		}
	}
	if d := Decide(Input{Edge: EdgeFresh, Policy: &Policy{}, Request: Request{Method: "GET", Target: "/"}, Header: Credential{Outcome: Valid, User: "ann"}}); d.Allow || d.HTTPStatus() != 401 {
		t.Errorf("the zero Policy gives %+v", d)
	}
	for _, r := range []Reason{"", OK, Anonymous, Preflight, Audited} {
		if d := Deny(r); d.Allow || d.Reason != InternalError || d.HTTPStatus() != 503 {
			t.Errorf("Deny(%q) = %+v", r, d)
		}
	}
	if got := fmt.Sprint(Unknown, Valid, Outcome(200)); got != "unknown valid unknown" {
		t.Error(got)
	}
}

func TestCodes(t *testing.T) {
	// What clients and dashboards rely on: the whole table, by its words.
	want := map[Reason]string{
		NoCredential: "401 no_credential", MultipleCredentials: "401 invalid_request", ConflictingCredentials: "401 invalid_request", CrossSite: "403 cross_site", TooLarge: "401 invalid_token",
		MalformedToken: "401 invalid_token", EncryptedToken: "401 invalid_token", WrongIssuer: "401 invalid_token", ReasonExpired: "401 expired",
		UnsupportedHeader: "401 invalid_token", WrongType: "401 invalid_token", AlgorithmMismatch: "401 invalid_token",
		MissingClaim: "401 invalid_token", WrongAudience: "401 invalid_token", NotYetValid: "401 invalid_token",
		LifetimeTooLong: "401 invalid_token", UnknownKey: "401 invalid_token", BadSignature: "401 invalid_token",
		ReasonRevoked: "401 revoked", NoPolicy: "403 no_policy", SpoofedIdentity: "403 spoofed_identity",
		BadRequestTarget: "403 bad_request_target", UntrustedPeer: "403 untrusted_peer",
		MissingDialectHeader: "403 missing_dialect_header", UnusableIdentity: "403 unusable_identity",
		NotReady: "503 unavailable", StaleRevocations: "503 unavailable", InternalError: "503 unavailable",
		LegacySunset: "401 legacy_session_sunset", LegacyBrownout: "401 legacy_session_brownout", LegacyInvalid: "401 legacy_session_invalid",
		LegacyUnavailable: "503 legacy_unavailable", InsufficientRole: "403 insufficient_role", AmbiguousPath: "403 ambiguous_path",
	}
	for reason, line := range want {
		d := Deny(reason)
		if got := fmt.Sprintf("%d %s", d.HTTPStatus(), d.Code); got != line {
			t.Errorf("%s: %s, want %s", reason, got, line)
		}
	}
}

// sessionID is a token that says its session and nothing else.
type sessionID string

func (s sessionID) Claim(name string) string {
	if name == "sid" {
		return string(s)
	}
	return ""
}
