package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LoginSpec bounds the attempts to log in.
type LoginSpec struct {
	// rateLimit bounds the attempts of one client address (IPv6: of one /64). Past
	// it the answer is 429 with Retry-After.
	// +optional
	// +kubebuilder:default={}
	RateLimit RateLimitSpec `json:"rateLimit,omitzero"`

	// failureLimit bounds the failed attempts of one account, from all addresses
	// together. Past it the answer is 429, except to an address from which the
	// account has logged in before, so nobody can lock a user out.
	// +optional
	// +kubebuilder:default={}
	FailureLimit FailureLimitSpec `json:"failureLimit,omitzero"`
}

// FailureLimitSpec is a number of failed attempts in a time.
type FailureLimitSpec struct {
	// limit is the number of failures in one window. Default 100; 0 (no limit) to
	// 10000.
	// +optional
	// +default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Limit *int32 `json:"limit,omitempty"`

	// window is the time in which the failures are counted. Default 1h; 1s to 24h.
	// +optional
	// +default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="failureLimit.window must be a duration from 1s to 24h, such as 1h; to have no limit set failureLimit.limit to 0"
	Window metav1.Duration `json:"window,omitzero"`
}

// CookieMode says who gets tokens in cookies.
// +kubebuilder:validation:Enum=Disabled;Optional;Required
type CookieMode string

const (
	// CookiesDisabled sets no cookie.
	CookiesDisabled CookieMode = "Disabled"
	// CookiesOptional sets cookies for a login that asks for them.
	CookiesOptional CookieMode = "Optional"
	// CookiesRequired sets cookies for every login.
	CookiesRequired CookieMode = "Required"
)

// CookiesSpec says whether browsers get their tokens in cookies.
type CookiesSpec struct {
	// mode says who gets cookies and no token in the body. Disabled (default):
	// nobody. Optional: a login that asks for "delivery": "cookie". Required:
	// every login. The cookies belong to the host of the issuer alone (__Host-),
	// so the application must be on the same host, and they need https.
	// +optional
	// +default="Disabled"
	Mode CookieMode `json:"mode,omitempty"`

	// loginURL is where /auth/continue sends a browser whose login has ended: a
	// path of the issuer's host, such as /login, or an https URL. Without it the
	// page says so.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9:/?&=._~%+,;!$()*[-]+$')",message="loginURL must not have @, #, spaces, quotes, backslashes or other characters that a URL encodes: remove them"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(/([^/].*)?|https://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|[[][0-9a-f:.]+[]])(:[1-9][0-9]{0,4})?([/?].*)?)$')",message="loginURL must be a path of the same host that begins with one slash, such as /login, or an https URL with a lower-case host, such as https://www.example.com/login: mend it"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^/?]*:(443|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})([/?]|$)')",message="loginURL has the port of https itself, or one above 65535: remove :443, or use a port from 1 to 65535"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^/[^?]*%|^/([^?]*/)?[.][.]?([/;?]|$)|^/auth([/?]|$)')",message="the path of loginURL must not have %, . or .. as a segment, and must not be under /auth/, where Keyturn's own endpoints are: use a path such as /login"
	LoginURL *string `json:"loginURL,omitempty"`
}

// CORSSpec says which other sites' pages may call the token service.
type CORSSpec struct {
	// allowedOrigins are the origins whose pages may call the token service from a
	// browser (CORS), compared exactly, such as https://app.example.com. The
	// issuer's own origin needs no entry. https; http for loopback hosts only. At
	// most 32.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('*') && self != 'null'",message="there is no wildcard and no null, because any page could then act for your users: name each origin, such as https://app.example.com"
	// +kubebuilder:validation:items:XValidation:rule="!isURL(self) || self.matches('^[a-z]+://[^/?#@]*$')",message="an origin has no path, query, user or slash at its end: write scheme and host only, such as https://app.example.com"
	// +kubebuilder:validation:items:XValidation:rule="isURL(self) && self.matches('^(https://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|[[][0-9a-f:.]+[]])|http://(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]]))([:/?#@*]|$)')",message="an origin must be a lower-case https origin as browsers send it, such as https://app.example.com: use https, or http for a loopback host only (localhost, 127.0.0.1, [::1])"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('^(https://[^/]*:0*443|http://[^/]*:0*80|[a-z]+://[^/]*:(0+.*|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})?)$')",message="the port of an origin is from 1 to 65535 and not the scheme's own, which browsers leave out: remove :443 (https) or :80 (http), or mend it"
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// RateLimitSpec is a number of attempts in a time.
type RateLimitSpec struct {
	// limit is the number of attempts in one window. Many users behind one address
	// share it. Default 10; 1 to 10000.
	// +optional
	// +default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Limit int32 `json:"limit,omitempty"`

	// window is the time in which the attempts are counted. Default 1m; 1s to 1h.
	// +optional
	// +default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="rateLimit.window must be a duration from 1s to 1h, such as 1m"
	Window metav1.Duration `json:"window,omitzero"`
}
