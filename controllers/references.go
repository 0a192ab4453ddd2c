package controllers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// wanted is a Secret that an object refers to.
type wanted struct {
	// what refers to it, in the words of the spec; name is the Secret's.
	what, name string
	// keys tells which keys it should have, for the case that there is none.
	keys string
	// complain says what is wrong with the content and how to mend it; empty: nothing.
	complain func(data map[string][]byte) string
}

// wantedSecrets are all of them, in the order of the spec.
func wantedSecrets(tsvc *keyturnv1alpha1.TokenService, now time.Time) []wanted {
	var all []wanted
	if secret, keys := storeSecret(tsvc); secret != nil {
		all = append(all, wanted{"store", secret.Name, anyOf(keys), storeComplaint(tsvc, keys)})
	}
	for i := range tsvc.Spec.Identity {
		source := &tsvc.Spec.Identity[i]
		what := fmt.Sprintf("identity %q", source.Name)
		secret, keys := sourceSecret(source)
		switch {
		case secret == nil:
		case source.HTPasswd != nil:
			all = append(all, wanted{what, secret.Name, "the key htpasswd", hasUsers})
		case source.OIDC != nil:
			all = append(all, wanted{what, secret.Name, "the key ca.crt", hasAuthority})
		default:
			all = append(all, wanted{what, secret.Name, anyOf(keys), func(data map[string][]byte) string { return credentials(data, keys) }})
		}
	}
	for _, client := range tsvc.Spec.Clients {
		all = append(all, wanted{fmt.Sprintf("client %q", client.ID), client.SecretRef.Name, "the key secret", hasSecret})
	}
	if public := tsvc.Spec.TLS; public != nil {
		all = append(all, wanted{"tls", public.SecretRef.Name, "the keys tls.crt and tls.key", func(data map[string][]byte) string { return hasCertificate(data, now) }})
	}
	return all
}

func anyOf(keys []string) string { return "one of the keys " + strings.Join(keys, ", ") }

// checkSecrets looks whether every Secret that is referred to is there and has the keys that are read, and names all
// that are not. What is in them is otherwise the token service's to judge.
func (b *base) checkSecrets(ctx context.Context, namespace string, all []wanted) error {
	reason := ""
	var complaints []string
	seen := map[string]*corev1.Secret{}
	for _, w := range all {
		secret, read := seen[w.name]
		if !read {
			secret = &corev1.Secret{}
			if err := b.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: w.name}, secret); apierrors.IsNotFound(err) {
				secret = nil
			} else if err != nil {
				return err
			}
			seen[w.name] = secret
		}
		why, complaint := keyturnv1alpha1.ReasonSecretInvalid, ""
		if secret == nil {
			why, complaint = keyturnv1alpha1.ReasonRefNotFound, fmt.Sprintf("there is no Secret %q in namespace %s: create it with %s", w.name, namespace, w.keys)
		} else if wrong := w.complain(secret.Data); wrong != "" {
			complaint = fmt.Sprintf("Secret %q %s", w.name, wrong)
		}
		if complaint == "" {
			continue
		}
		if reason == "" || why == keyturnv1alpha1.ReasonRefNotFound {
			reason = why // what is missing is graver than what is wrong
		}
		complaints = append(complaints, w.what+": "+complaint)
	}
	if len(complaints) > 0 {
		return stop(keyturnv1alpha1.ConditionResolvedRefs, reason, "%s", strings.Join(complaints, "; "))
	}
	return nil
}

func hasUsers(data map[string][]byte) string {
	if len(data[keyHtpasswd]) == 0 {
		return "has no key htpasswd: add it with one name:hash a line"
	}
	return ""
}

// Bounds of a client's secret, as the token service has them.
const minClientSecret, maxClientSecret = 32, 256

// hasSecret wants one line, or two while a secret is being changed.
func hasSecret(data map[string][]byte) string {
	lines := strings.FieldsFunc(string(data[keySecret]), func(r rune) bool { return r == '\n' || r == '\r' })
	good := len(lines) == 1 || len(lines) == 2
	for _, line := range lines {
		good = good && len(line) >= minClientSecret && len(line) <= maxClientSecret
	}
	if !good {
		return fmt.Sprintf("has no key secret of %d to %d characters (one line, or two while it is being changed): make one with openssl rand -hex 32", minClientSecret, maxClientSecret)
	}
	return ""
}

func hasAuthority(data map[string][]byte) string {
	if len(data[keyAuthority]) == 0 {
		return "has no key ca.crt: add the provider's authorities in PEM, or remove secretRef to trust those of the system"
	}
	return authority(data)
}

func hasCertificate(data map[string][]byte, now time.Time) string {
	if len(data[keyCertificate]) == 0 || len(data[keyPrivate]) == 0 {
		return "has no keys tls.crt and tls.key: use one of type kubernetes.io/tls"
	}
	if complaint := pair(data); complaint != "" {
		return complaint
	}
	parsed, err := tls.X509KeyPair(data[keyCertificate], data[keyPrivate])
	if err == nil && parsed.Leaf != nil && now.After(parsed.Leaf.NotAfter) {
		return fmt.Sprintf("has a certificate that expired at %s: renew it", parsed.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return ""
}

// credentials complains about a Secret in which none of the keys is, or whose certificates cannot be read.
func credentials(data map[string][]byte, keys []string) string {
	found := false
	for _, key := range keys {
		found = found || len(data[key]) > 0
	}
	if !found {
		return "has none of the keys " + strings.Join(keys, ", ") + ": add what the server asks for, or remove secretRef"
	}
	if complaint := authority(data); complaint != "" {
		return complaint
	}
	return pair(data)
}

func authority(data map[string][]byte) string {
	if pem := data[keyAuthority]; len(pem) > 0 && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return "has no certificate in its key ca.crt: put the authorities there in PEM"
	}
	return ""
}

func pair(data map[string][]byte) string {
	certificate, private := data[keyCertificate], data[keyPrivate]
	if len(certificate) == 0 && len(private) == 0 {
		return ""
	}
	if len(certificate) == 0 || len(private) == 0 {
		return "has only one of the keys tls.crt and tls.key: they belong together, add the other one"
	}
	// The error says nothing of the content; it may tell more than a condition should, so it is left out.
	if _, err := tls.X509KeyPair(certificate, private); err != nil {
		return "has a tls.crt and a tls.key that are not one pair in PEM: renew both"
	}
	return ""
}

// storeComplaint judges the Secret of a shared store.
func storeComplaint(tsvc *keyturnv1alpha1.TokenService, keys []string) func(map[string][]byte) string {
	return func(data map[string][]byte) string {
		if redis := tsvc.Spec.Store.Redis; redis != nil && redis.TLS == nil && len(data[keyAuthority])+len(data[keyCertificate]) > 0 {
			return "has ca.crt or tls.crt, which clear text does not use: set store.redis.tls to {}, or remove them"
		}
		return credentials(data, keys)
	}
}
