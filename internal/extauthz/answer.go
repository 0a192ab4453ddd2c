package extauthz

import (
	"net/http"
	"strconv"

	"github.com/keyturn/keyturn/internal/policy"
)

// The headers of a denial, beside the standard ones.
const (
	// HeaderDecision names the denial in the operator's log.
	HeaderDecision = "X-Keyturn-Decision"
	// HeaderCode repeats the code of the body, for proxies that do not pass a body on.
	HeaderCode = "X-Keyturn-Code"
)

// HeaderAllowed is `true` in each HTTP answer that lets a request through, and in no other, so that a proxy can tell it
// from something else's 200.
const HeaderAllowed = "X-Keyturn-Allowed"

// retryAfter is what a client should wait, in seconds, when the edge cannot decide.
const retryAfter = "1"

const problemType = "application/problem+json"

// field is one header of an answer.
type field struct{ name, value string }

// identity are the headers that tell the application who the user is, in the order in which they are set; one without a
// value says that there is nothing to tell, and that the client's own must not pass.
func (o outcome) identity() []field {
	fields := [...]field{{policy.HeaderUser, o.User}, {policy.HeaderRole, o.Role}, {policy.HeaderMethod, string(o.Method)}}
	if len(o.told) == 0 {
		return fields[:]
	}
	return append(fields[:], o.told...)
}

// appendDenialHeaders adds what every denial carries. Proxies copy all of them to the client: nothing here is secret.
func appendDenialHeaders(fields []field, out outcome) []field {
	fields = append(fields, field{"Cache-Control", "no-store"}, field{HeaderDecision, out.id}, field{HeaderCode, string(out.Code)})
	switch out.HTTPStatus() {
	case http.StatusFound:
		fields = append(fields, field{"Location", out.location})
	case http.StatusUnauthorized:
		fields = append(fields, field{"WWW-Authenticate", out.challenge + challengeError(out.Code)})
	case http.StatusForbidden:
		if out.Reason == policy.InsufficientRole {
			fields = append(fields, field{"WWW-Authenticate", out.challenge + challengeError(out.Code)})
		}
	case http.StatusServiceUnavailable:
		fields = append(fields, field{"Retry-After", retryAfter})
	}
	for _, line := range out.announcement {
		fields = append(fields, field{line.Name, line.Value})
	}
	return fields
}

// challengeError is the error part of a challenge (RFC 6750, section 3); a request without a credential gets none.
func challengeError(code policy.Code) string {
	switch code {
	case policy.CodeNoCredential, policy.Code(policy.LegacySunset), policy.Code(policy.LegacyBrownout), policy.Code(policy.LegacyInvalid):
		return "" // a legacy session is no bearer token
	case policy.CodeInvalidRequest:
		return `, error="invalid_request", error_description="` + detail(code) + `"`
	case policy.Code(policy.InsufficientRole): // RFC 6750, section 3.1: 403, with this word whatever is lacking
		return `, error="insufficient_scope", error_description="` + detail(code) + `"`
	default:
		return `, error="invalid_token", error_description="` + detail(code) + `"`
	}
}

func detail(code policy.Code) string {
	switch code {
	case policy.CodeNoCredential:
		return "The request carries no access token"
	case policy.CodeInvalidRequest:
		return "The request carries more than one credential, or of more than one user"
	case policy.CodeInvalidToken:
		return "The access token is not valid"
	case policy.CodeTokenExpired:
		return "The access token expired"
	case policy.CodeTokenRevoked:
		return "The access token was revoked"
	case policy.CodeUnavailable:
		return "The authorizer cannot decide at the moment"
	case policy.Code(policy.NoPolicy):
		return "The proxy names no policy that exists here"
	case policy.Code(policy.SpoofedIdentity):
		return "The request carries a header that only the ingress may set"
	case policy.Code(policy.BadRequestTarget):
		return "The request target cannot be authorized"
	case policy.Code(policy.UntrustedPeer):
		return "The proxy that asks is not among the trusted ones"
	case policy.Code(policy.MissingDialectHeader):
		return "The proxy does not describe the original request as its recipe does"
	case policy.Code(policy.CrossSite):
		return "A page of another site may have sent this request"
	case policy.Code(policy.UnusableIdentity):
		return "The user cannot be told to the application"
	case policy.Code(policy.InsufficientRole):
		return "The user has none of the roles that this needs"
	case policy.Code(policy.AmbiguousPath):
		return "The path can be read in more than one way"
	case policy.Code(policy.LegacySunset):
		return "Sessions have ended: log in again"
	case policy.Code(policy.LegacyBrownout):
		return "Sessions are about to end, and this one is refused for a while, to show who still uses them"
	case policy.Code(policy.LegacyInvalid):
		return "There is no such session, or it is over"
	case policy.Code(policy.LegacyUnavailable):
		return "The session cannot be validated at the moment"
	}
	return ""
}

// problemRoom is enough for every body of a denial.
const problemRoom = 320

// appendProblem writes the body of a denial (RFC 9457). None of the texts needs an escape: all but the id are constants.
func appendProblem(to []byte, out outcome) []byte {
	status := out.HTTPStatus()
	to = append(to, `{"type":"about:blank","title":"`...)
	to = append(to, http.StatusText(status)...)
	to = append(to, `","status":`...)
	to = strconv.AppendInt(to, int64(status), 10)
	to = append(to, `,"code":"`...)
	to = append(to, out.Code...)
	if text := detail(out.Code); text != "" {
		to = append(to, `","detail":"`...)
		to = append(to, text...)
	}
	to = append(to, `","decision":"`...)
	to = append(to, out.id...)
	return append(to, '"', '}', '\n')
}
