package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// Trouble is an error that tells how to mend it.
type Trouble struct {
	// What is wrong, in one sentence; Mend what to do about it, may be empty.
	What, Mend string
	// Cause is the error below, may be nil.
	Cause error
}

func (t *Trouble) Error() string {
	if t.Mend == "" {
		return t.What
	}
	return t.What + ": " + t.Mend
}

func (t *Trouble) Unwrap() error { return t.Cause }

// missing says that an object is not there, and which ones are.
func (s *Session) missing(kind, name string, names []string, cause error) error {
	t := &Trouble{What: fmt.Sprintf("there is no %s %s in namespace %s", kind, clean(name), s.Namespace), Cause: cause}
	slices.Sort(names)
	const most = 12
	switch {
	case len(names) == 0:
		t.Mend = fmt.Sprintf("that namespace has no %s at all; name another one with -n", kind)
	case len(names) > most:
		t.Mend = fmt.Sprintf("it has: %s, and %d more", strings.Join(names[:most], ", "), len(names)-most)
	default:
		t.Mend = "it has: " + strings.Join(names, ", ")
	}
	return t
}

// Explain turns any error of the plugin into one that tells how to mend it.
func Explain(err error, namespace string) *Trouble {
	var known *Trouble
	var status apierrors.APIStatus
	var lookup *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &known):
		return known
	case clientcmd.IsEmptyConfig(err):
		return &Trouble{"no cluster is configured", "set KUBECONFIG or --kubeconfig to a kubeconfig file", err}
	case clientcmd.IsContextNotFound(err), noContext.MatchString(err.Error()):
		return &Trouble{"that context is not in the kubeconfig: " + err.Error(), "see which ones are: kubectl config get-contexts", err}
	case clientcmd.IsConfigurationInvalid(err):
		return &Trouble{"the kubeconfig is not usable: " + err.Error(), "look at it: kubectl config view", err}
	case meta.IsNoMatchError(err):
		return &Trouble{"this cluster does not know Keyturn: it has no CRDs of " + v1alpha1.Group,
			"choose the right cluster with --context, or install Keyturn, in a checkout of github.com/keyturn/keyturn: kubectl apply --server-side -k config/default", err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Trouble{"the API server did not answer in time", "wait longer with --request-timeout, or see whether it is well: kubectl get --raw /readyz", err}
	case errors.As(err, &lookup):
		return &Trouble{fmt.Sprintf("the name of the API server, %s, is not known", lookup.Name), "look at the server in the kubeconfig: kubectl config view --minify", err}
	case errors.As(err, &dial):
		return &Trouble{fmt.Sprintf("the API server does not answer at %s", dial.Addr), "see whether --context is the right one, and whether kubectl reaches it: kubectl cluster-info", err}
	case errors.As(err, &status):
		return explainStatus(err, status.Status(), namespace)
	}
	return &Trouble{What: err.Error(), Cause: err}
}

// noContext is how clientcmd words it, besides the form that it has a function for.
var noContext = regexp.MustCompile(`^context "[^"]*" does not exist$`)

// forbidden is how the API server words it.
var forbidden = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]*)"`)

func explainStatus(err error, status metav1.Status, namespace string) *Trouble {
	switch {
	case apierrors.IsUnauthorized(err):
		return &Trouble{"the API server does not accept your credentials", "log in again, or choose another --context", err}
	case apierrors.IsForbidden(err):
		return explainForbidden(err, namespace)
	case apierrors.IsConflict(err):
		return &Trouble{"somebody else changed the object at the same time, again and again", "try again", err}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &Trouble{"the API server refuses the change: " + status.Message, "mend what the message names", err}
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err):
		return &Trouble{"the API server is busy or not ready: " + status.Message, "try again", err}
	}
	return &Trouble{What: status.Message, Cause: err}
}

func explainForbidden(err error, namespace string) *Trouble {
	m := forbidden.FindStringSubmatch(err.Error())
	if m == nil {
		return &Trouble{err.Error(), "ask for that right", err}
	}
	user, verb, resource := m[1], m[2], m[3]
	where := "in namespace " + namespace
	if namespace == "" {
		where = "in all namespaces"
	}
	t := &Trouble{What: fmt.Sprintf("user %q may not %s %s %s", user, verb, resource, where), Cause: err}
	role, included := "", ""
	switch reads := slices.Contains([]string{"get", "list", "watch"}, verb); {
	case resource == "secrets":
		t.Mend = fmt.Sprintf("ask for the right to %s secrets there; keys without --live, and status, need no Secret", verb)
		return t
	case !slices.Contains([]string{"accesspolicies", "authrollouts", "revocations", "signingkeysets", "tokenpolicies", "tokenservices"}, resource):
		t.Mend = fmt.Sprintf("ask for the right to %s %s there", verb, resource)
		return t
	case reads:
		role, included = "keyturn-viewer", "view"
	default:
		role, included = "keyturn-editor", "edit"
	}
	if namespace == "" {
		t.Mend = fmt.Sprintf("look at one namespace with -n, or ask for a ClusterRoleBinding to the ClusterRole %s", role)
	} else {
		t.Mend = fmt.Sprintf("ask for a RoleBinding there to the ClusterRole %s; the cluster's own role %s includes it", role, included)
	}
	return t
}

// DrawTrouble writes an error for people.
func DrawTrouble(s Screen, t *Trouble) string { return drawTrouble(s, "error: ", t) }

func drawTrouble(s Screen, label string, t *Trouble) string {
	var b strings.Builder
	indent := strings.Repeat(" ", len(label))
	for i, line := range wrap(clean(t.What), s.columns()-len(label)) {
		lead := indent
		if i == 0 {
			lead = s.paint(bad, label)
		}
		b.WriteString(lead + line + "\n")
	}
	b.WriteString(drawSteps(s, indent, t.Mend))
	return b.String()
}
