package controllers

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// failureLimit is the limit of an account's failures; the zero value, which is left out of a document, limits nothing.
func failureLimit(spec *keyturnv1alpha1.FailureLimitSpec) snapshot.RateLimit {
	limit := deref(spec.Limit, 100)
	if limit == 0 {
		return snapshot.RateLimit{}
	}
	window := cmp.Or(spec.Window, metav1.Duration{Duration: time.Hour})
	return snapshot.RateLimit{Limit: int(limit), Window: snapshot.Duration(window.Duration)}
}

func withCookies(policy *keyturnv1alpha1.TokenPolicySpec) bool {
	return policy.Cookies.Mode != "" && policy.Cookies.Mode != keyturnv1alpha1.CookiesDisabled
}

// browser is what browsers get; the zero value, which is left out of a document, is nothing.
func browser(policy *keyturnv1alpha1.TokenPolicySpec) snapshot.Browser {
	out := snapshot.Browser{AllowedOrigins: slices.Sorted(slices.Values(policy.CORS.AllowedOrigins))}
	if withCookies(policy) {
		out.Cookies, out.LoginURL = string(policy.Cookies.Mode), deref(policy.Cookies.LoginURL, "")
	}
	return out
}

// identitySources are the sources of users, in the spec's order. The source that takes this cluster's tokens is left out while
// nobody knows its keys: it lets nobody in, and the others go on.
func identitySources(sources []keyturnv1alpha1.IdentitySource, cluster *clusterKeys) []snapshot.IdentitySource {
	var out []snapshot.IdentitySource
	for i := range sources {
		source := &sources[i]
		doc := snapshot.IdentitySource{Name: source.Name, SubjectPrefix: source.SubjectPrefix}
		switch {
		case source.HTPasswd != nil:
			doc.Htpasswd = &snapshot.Htpasswd{}
		case source.Webhook != nil:
			doc.Webhook = &snapshot.Webhook{
				LoginURL: source.Webhook.LoginURL, LookupURL: deref(source.Webhook.LookupURL, ""),
				Timeout: snapshot.Duration(source.Webhook.Timeout.Duration),
			}
		case source.OIDC != nil:
			doc.OIDC = &snapshot.OIDC{
				IssuerURL: source.OIDC.IssuerURL, ClientID: source.OIDC.ClientID,
				SubjectClaim: source.OIDC.SubjectClaim, RoleClaim: deref(source.OIDC.RoleClaim, ""),
			}
		case source.Kubernetes != nil && cluster != nil:
			doc.Kubernetes = &snapshot.Kubernetes{Issuer: cluster.Issuer, JWKS: cluster.JWKS, Accounts: accounts(source.Kubernetes.Accounts)}
		default:
			continue
		}
		out = append(out, doc)
	}
	return out
}

// accounts are in an order in which the first that fits is the right one: those with a name before those for a whole
// namespace.
func accounts(specs []keyturnv1alpha1.KubernetesAccount) []snapshot.ServiceAccount {
	var out []snapshot.ServiceAccount
	for _, a := range specs {
		out = append(out, snapshot.ServiceAccount{Namespace: a.Namespace, Name: a.Name, Role: deref(a.Role, "")})
	}
	slices.SortFunc(out, func(a, b snapshot.ServiceAccount) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), -cmp.Compare(a.Name, b.Name))
	})
	return out
}

// clients are sorted by id, so that another order in the spec is no new document.
func clients(specs []keyturnv1alpha1.ClientSpec) []snapshot.Client {
	var out []snapshot.Client
	for _, c := range specs {
		out = append(out, snapshot.Client{ID: c.ID, Audiences: c.Audiences})
	}
	slices.SortFunc(out, func(a, b snapshot.Client) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
