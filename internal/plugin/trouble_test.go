package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

func forbid(verb, resource string) error {
	return apierrors.NewForbidden(v1alpha1.Resource(resource), "", fmt.Errorf(`User "jane" cannot %s resource %q in API group "keyturn.dev" in the namespace "demo"`, verb, resource))
}

func emptyConfig(context string) error {
	_, err := clientcmd.NewDefaultClientConfig(clientcmdapi.Config{}, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	return err
}

// TestTroubles is the table of error messages: one file to read them all.
func TestTroubles(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://192.0.2.1:6443/api", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 6443}, Err: errors.New("connection refused")}}
	session := &Session{Namespace: "demo"}
	rows := []struct {
		name, namespace string
		err             error
	}{
		{"no CRDs", "demo", fmt.Errorf("listing: %w", &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.Group, Kind: "SigningKeySet"}, SearchedVersions: []string{"v1alpha1"}})},
		{"may not list", "demo", forbid("list", "signingkeysets")},
		{"may not list anywhere", "", forbid("list", "tokenservices")},
		{"may not patch", "demo", forbid("patch", "signingkeysets")},
		{"may not read Secrets", "demo", forbid("get", "secrets")},
		{"may not list deployments", "", forbid("list", "deployments")},
		{"forbidden by something else", "demo", apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "users", errors.New("a policy says no"))},
		{"no such set", "demo", session.missing("SigningKeySet", "mian", []string{"partner", "main"}, nil)},
		{"no set at all", "demo", session.missing("SigningKeySet", "main", nil, nil)},
		{"very many sets", "demo", session.missing("SigningKeySet", "main", strings.Split("abcdefghijklmnop", ""), nil)},
		{"unauthorized", "demo", apierrors.NewUnauthorized("token expired")},
		{"conflict", "demo", apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, "users", errors.New("modified"))},
		{"too many requests", "demo", apierrors.NewTooManyRequests("slow down", 1)},
		{"bad request", "demo", apierrors.NewBadRequest("metadata.name: too long")},
		{"gone", "demo", apierrors.NewResourceExpired("old")},
		{"no kubeconfig", "", emptyConfig("")},
		{"no such context", "", emptyConfig("nowhere")},
		{"API server down", "demo", refused},
		{"API server unknown", "demo", &url.Error{Op: "Get", URL: "https://nowhere", Err: &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}}},
		{"API server slow", "demo", &url.Error{Op: "Get", URL: "https://slow", Err: context.DeadlineExceeded}},
		{"anything else", "demo", errors.New("something\x1b[2J unforeseen")},
	}
	var all strings.Builder
	for _, row := range rows {
		trouble := Explain(row.err, row.namespace)
		if trouble.What == "" || (trouble.Mend == "" && row.name != "anything else" && row.name != "gone") {
			t.Errorf("%s: %+v", row.name, trouble)
		}
		if known := (*Trouble)(nil); trouble.Unwrap() == nil && !errors.As(row.err, &known) {
			t.Errorf("%s: the cause is lost", row.name)
		}
		fmt.Fprintf(&all, "# %s\n%s\n", row.name, DrawTrouble(fineScreen, trouble))
	}
	golden(t, "troubles", all.String())
}
