package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

// The whole product of what exists: edge × refusal × policy × outcome × reason × user × role. The expectation is
// written a second time, as the questions of the design in their order, and not by calling the code.
func TestDecideProduct(t *testing.T) {
	edges := []Edge{EdgeNotReady, EdgeFresh, EdgeStaleServing, EdgeStaleClosed, 99}
	refusals := []Reason{"", SpoofedIdentity, BadRequestTarget, UntrustedPeer, MissingDialectHeader}
	policies := []string{"", DefaultPolicy, "shop/orders", "-/Default", "-/default "}
	outcomes := []Outcome{Unknown, Absent, Foreign, Expired, Invalid, Revoked, Valid, 99}
	reasons := []Reason{"", OK, BadSignature, MultipleCredentials}
	users := []string{"", "ann", "a\nb", "ä", " ann", strings.Repeat("u", MaxIdentityBytes+1)}
	roles := []string{"", "admin", "ad\x00min", "admin "}
	allowed, cases := 0, 0
	for _, edge := range edges {
		for _, refusal := range refusals {
			for _, name := range policies {
				for _, outcome := range outcomes {
					for _, reason := range reasons {
						for _, user := range users {
							for _, role := range roles {
								cases++
								in := Input{Edge: edge, Refusal: refusal, Policy: name, Header: Credential{Outcome: outcome, Reason: reason, User: user, Role: role}}
								got := Decide(in)
								want, status := expected(in)
								if got.Allow {
									allowed++
								}
								if got.Allow != (want == OK) || got.Reason != want || got.HTTPStatus() != status {
									t.Fatalf("Decide(%+v) = %+v, want %s %d", in, got, want, status)
								}
								if !got.Allow && (got.Code == "" || got.User != "" || got.Role != "" || got.Method != "") {
									t.Fatalf("Decide(%+v) = %+v: a denial has a code and no identity", in, got)
								}
								if got.Allow && (got.User != user || got.Role != role || got.Method != MethodJWT || got.Code != "") {
									t.Fatalf("Decide(%+v) = %+v: wrong identity", in, got)
								}
							}
						}
					}
				}
			}
		}
	}
	// Fresh and stale-but-serving, no refusal, the one policy, Valid, any of four reasons, one good user, two good roles.
	if want := 2 * 4 * 1 * 2; allowed != want {
		t.Errorf("%d of %d cases are allowed, want %d", allowed, cases, want)
	}
}

func expected(in Input) (Reason, int) {
	goodUser := in.Header.User == "ann"
	goodRole := in.Header.Role == "" || in.Header.Role == "admin"
	given := in.Header.Reason != "" && in.Header.Reason != OK
	switch {
	case in.Edge == EdgeStaleClosed:
		return StaleRevocations, 503
	case in.Edge != EdgeFresh && in.Edge != EdgeStaleServing:
		return NotReady, 503
	case in.Refusal != "":
		return in.Refusal, 403
	case in.Policy != DefaultPolicy:
		return NoPolicy, 403
	case in.Header.Outcome == Absent:
		return NoCredential, 401
	case in.Header.Outcome == Foreign && given, in.Header.Outcome == Invalid && given:
		return in.Header.Reason, 401
	case in.Header.Outcome == Foreign:
		return WrongIssuer, 401
	case in.Header.Outcome == Invalid:
		return MalformedToken, 401
	case in.Header.Outcome == Expired:
		return ReasonExpired, 401
	case in.Header.Outcome == Revoked:
		return ReasonRevoked, 401
	case in.Header.Outcome != Valid:
		return InternalError, 503
	case !goodUser || !goodRole:
		return UnusableIdentity, 403
	}
	return OK, 200
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
	for _, r := range []Reason{"", OK} {
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
		LegacyUnavailable: "503 legacy_unavailable",
	}
	for reason, line := range want {
		d := Deny(reason)
		if got := fmt.Sprintf("%d %s", d.HTTPStatus(), d.Code); got != line {
			t.Errorf("%s: %s, want %s", reason, got, line)
		}
	}
}
