package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IdentitySource is a union: a name, a prefix and exactly one source of users.
// +kubebuilder:validation:XValidation:rule="[has(self.htpasswd), has(self.webhook), has(self.oidc), has(self.kubernetes)].exists_one(x, x)",message="an identity needs exactly one source of users: set htpasswd, such as htpasswd: {secretRef: {name: users}}, or one of webhook, oidc and kubernetes"
type IdentitySource struct {
	// name of the source in logs, metrics and messages: a DNS label, unique in the
	// list, such as staff.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="the name of an identity must be a DNS label: a-z, 0-9 and -, not at its ends, such as staff"
	Name string `json:"name"`

	// subjectPrefix is put before the user's name to make the sub claim (= user_id
	// = X-Auth-User), such as staff: for staff:alice. It keeps users of different
	// sources apart, so no prefix may be the beginning of another; a single source
	// needs none. Do not change it later: users would become other users. At most
	// 64 characters: letters, digits and . _ : / @ -
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._:/@-]*$')",message="subjectPrefix may have letters, digits and . _ : / @ - only, such as staff: (quote it in YAML)"
	SubjectPrefix string `json:"subjectPrefix,omitempty"`

	// htpasswd takes the users from a Secret. They log in with name and password.
	// +optional
	HTPasswd *HTPasswdSource `json:"htpasswd,omitempty"`

	// webhook asks your own application about name and password.
	// +optional
	Webhook *WebhookSource `json:"webhook,omitempty"`

	// oidc takes ID tokens of an OpenID Connect provider in exchange, at
	// /auth/token.
	// +optional
	OIDC *OIDCSource `json:"oidc,omitempty"`

	// kubernetes takes ServiceAccount tokens of this cluster in exchange, at
	// /auth/token.
	// +optional
	Kubernetes *KubernetesSource `json:"kubernetes,omitempty"`
}

// HTPasswdSource takes users and password hashes from a Secret.
type HTPasswdSource struct {
	// secretRef names a Secret of this namespace with the key htpasswd: one
	// name:hash a line, hashes bcrypt ($2y$, $2b$) or argon2id ($argon2id$), at
	// most 5000 users; and, if wished, the key roles: one "name: role" a line.
	// Make a line with: htpasswd -nB alice
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// WebhookSource asks the application's own endpoints about users.
type WebhookSource struct {
	// loginURL is asked with the name and the password of each login. https; http
	// for loopback hosts and Services of this cluster (NAME.NAMESPACE.svc) only.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9:/?&=._~%+,;!$()*[-]+$')",message="loginURL must not have @, #, spaces, quotes, backslashes or other characters that a URL encodes: remove them; credentials belong into the Secret of secretRef"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(https://[a-z0-9[]|http://(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?[.]svc([.]cluster[.]local)?)([:/?]|$))')",message="loginURL must be an https URL, such as https://accounts.example.com/check: use https, or http for a loopback host or a Service of this cluster (NAME.NAMESPACE.svc) only"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?]*:(0*|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})([/?]|$)')",message="loginURL has a port that cannot be: use a port from 1 to 65535, or none"
	LoginURL string `json:"loginURL"`

	// lookupURL is asked at each refresh whether the user is still there, and with
	// which role: somebody who is gone is logged out, a role that was taken away
	// is gone. Without it a login lasts as long as the TokenPolicy lets it. https
	// or http as with loginURL.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9:/?&=._~%+,;!$()*[-]+$')",message="lookupURL must not have @, #, spaces, quotes, backslashes or other characters that a URL encodes: remove them; credentials belong into the Secret of secretRef"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(https://[a-z0-9[]|http://(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?[.]svc([.]cluster[.]local)?)([:/?]|$))')",message="lookupURL must be an https URL, such as https://accounts.example.com/user: use https, or http for a loopback host or a Service of this cluster (NAME.NAMESPACE.svc) only"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?]*:(0*|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})([/?]|$)')",message="lookupURL has a port that cannot be: use a port from 1 to 65535, or none"
	LookupURL *string `json:"lookupURL,omitempty"`

	// timeout bounds one question; a login whose question takes longer gets 503.
	// Default 2s; 100ms to 10s.
	// +optional
	// +default="2s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10s')",message="webhook.timeout must be a duration from 100ms to 10s, such as 2s: the user waits for it, and so does the ingress"
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// secretRef names a Secret of this namespace; each of its keys is optional:
	// token is sent as Authorization: Bearer, ca.crt has the only authorities that
	// are trusted, tls.crt and tls.key are shown to the server.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// OIDCSource takes ID tokens of an OpenID Connect provider in exchange.
type OIDCSource struct {
	// issuerURL is the iss claim of the provider's ID tokens, byte for byte; its
	// keys are found by discovery below it. https; http for loopback hosts and
	// Services of this cluster (NAME.NAMESPACE.svc) only.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9:/._~%+,;!$()*[-]+$')",message="issuerURL must not have ?, #, @, spaces, quotes or backslashes: write the iss claim of the provider's ID tokens, such as https://login.example.com"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(https://[a-z0-9[]|http://(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?[.]svc([.]cluster[.]local)?)([:/]|$))')",message="issuerURL must be an https URL, such as https://login.example.com: use https, or http for a loopback host or a Service of this cluster (NAME.NAMESPACE.svc) only"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/]*:(0*|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})(/|$)')",message="issuerURL has a port that cannot be: use a port from 1 to 65535, or none"
	IssuerURL string `json:"issuerURL"`

	// clientID must be among the aud claim of the ID token: the id under which the
	// application that logs users in is known to the provider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="clientID must be printable ASCII without spaces: copy it from the provider's page of the application"
	ClientID string `json:"clientID"`

	// subjectClaim is the claim of the ID token that names the user. Choose one
	// that never passes to somebody else; an email address may. Default sub.
	// +optional
	// +default="sub"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_.:/-]*$')",message="subjectClaim must be the name of a claim: it begins with a letter or _ and has letters, digits and _ . : / - only, such as sub"
	SubjectClaim string `json:"subjectClaim,omitempty"`

	// roleClaim is the claim of the ID token that holds the role: a text, or a list
	// whose first entry counts. Without it users have no role.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_.:/-]*$')",message="roleClaim must be the name of a claim: it begins with a letter or _ and has letters, digits and _ . : / - only, such as role"
	RoleClaim *string `json:"roleClaim,omitempty"`

	// secretRef names a Secret of this namespace with the key ca.crt: the only
	// authorities that are trusted. Without it those of the system are.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// KubernetesSource takes ServiceAccount tokens of this cluster in exchange. The
// manager reads the cluster's public keys; the token service asks nobody.
type KubernetesSource struct {
	// accounts are the ServiceAccounts that are let in, each once. 1 to 32.
	// +required
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Accounts []KubernetesAccount `json:"accounts"`
}

// KubernetesAccount is a ServiceAccount, or all of a namespace.
type KubernetesAccount struct {
	// namespace of the ServiceAccount.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="namespace must be the name of a namespace: a-z, 0-9 and -, not at its ends. There is no wildcard: name each namespace"
	Namespace string `json:"namespace"`

	// name of the ServiceAccount. Without it (default "") every ServiceAccount of
	// the namespace is let in that has no entry of its own, also one made later.
	// +optional
	// +default=""
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$')",message="name must be the name of a ServiceAccount: a-z, 0-9, - and ., not at its ends; remove it to let in every account of the namespace"
	Name string `json:"name"`

	// role of the account: becomes the claim role and the header X-Auth-Role. None
	// by default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._:/@-]+$')",message="role may have letters, digits and . _ : / @ - only, such as reporter"
	Role *string `json:"role,omitempty"`
}

// ClientSpec is somebody who may ask about tokens and revoke them.
type ClientSpec struct {
	// id of the client, as it says it with HTTP Basic authentication. At most 64
	// letters, digits and . _ -
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",message="a client's id has letters, digits and . _ - only and begins with a letter or digit, such as orders: rename it"
	// +kubebuilder:validation:XValidation:rule="self != 'keyturn-web'",message="keyturn-web is the client_id of the tokens of logins: give the client another id"
	ID string `json:"id"`

	// secretRef names a Secret of this namespace with the key secret: 32 to 256
	// random characters, such as those of openssl rand -hex 32, on one line; or on
	// two, of which each is good, while the secret is being changed.
	// +required
	SecretRef SecretReference `json:"secretRef"`

	// audiences of the tokens that the client sees; all others are inactive to it.
	// 1 to 10, as in the TokenPolicy.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="an audience must be printable ASCII without spaces, such as https://api.example.com: remove spaces, line ends and other characters"
	Audiences []string `json:"audiences"`
}

// PublicTLS is the certificate of the public port.
type PublicTLS struct {
	// secretRef names a Secret of this namespace of type kubernetes.io/tls, with
	// the keys tls.crt and tls.key, as cert-manager makes it. It is read again when
	// it changes.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}
