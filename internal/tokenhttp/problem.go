package tokenhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Problem is an answer that is not a success (RFC 9457). Code is stable; Title and Detail are for people.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	// Error and Description are what OAuth clients look for (RFC 6749, section 5.2); see [Problem.oauth].
	Error       string `json:"error,omitempty"`
	Description string `json:"error_description,omitempty"`

	retryAfter time.Duration
	challenge  string
	allow      string
}

// The codes of the public port.
const (
	CodeInvalidRequest     = "invalid_request"
	CodeInvalidCredentials = "invalid_credentials"
	CodeInvalidToken       = "invalid_token"
	CodeRefreshInvalid     = "refresh_token_invalid"
	CodeRefreshExpired     = "refresh_token_expired"
	CodeRefreshReused      = "refresh_token_reused"
	CodeSessionRevoked     = "session_revoked"
	CodeNotFound           = "not_found"
	CodeMethodNotAllowed   = "method_not_allowed"
	CodeTooLarge           = "body_too_large"
	CodeUnsupportedMedia   = "unsupported_media_type"
	CodeRateLimited        = "rate_limited"
	CodeAccountLimited     = "account_rate_limited"
	CodeCrossSite          = "cross_site"
	CodeNoCredential       = "no_credential"
	CodeBusy               = "busy"
	CodeNotReady           = "not_ready"
	CodeStoreUnavailable   = "store_unavailable"
	CodeIdentityDown       = "identity_unavailable"
	CodeInternal           = "internal"

	CodeConflicting       = "conflicting_credentials"
	CodeLegacySunset      = "legacy_session_sunset"
	CodeLegacyInvalid     = "legacy_session_invalid"
	CodeLegacyUnavailable = "legacy_unavailable"

	CodeInvalidClient       = "invalid_client"
	CodeUnsupportedGrant    = "unsupported_grant_type"
	CodeInvalidScope        = "invalid_scope"
	CodeInvalidTarget       = "invalid_target"
	CodeSubjectTokenInvalid = "subject_token_invalid"
)

func badRequest(detail string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Code: CodeInvalidRequest, Title: "The request is not understood", Detail: detail}
}

func unauthorized(code, title string) *Problem {
	return &Problem{Status: http.StatusUnauthorized, Code: code, Title: title, challenge: "Bearer"}
}

func unavailable(code, title string) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Code: code, Title: title, retryAfter: time.Second}
}

var (
	errNotReady = unavailable(CodeNotReady, "The service has no configuration yet")
	errStore    = unavailable(CodeStoreUnavailable, "The session store does not answer")
	errInternal = &Problem{Status: http.StatusInternalServerError, Code: CodeInternal, Title: "Something went wrong"}
)

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.Error != "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(p.retryAfter), 10))
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}
