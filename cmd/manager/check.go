package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/config/rbac"
)

// checkLimit bounds the whole check: some eighty small questions.
const checkLimit = 30 * time.Second

// checkCommand is what `helm test` runs, as the manager's own account.
func checkCommand() *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use: "check", Args: cobra.NoArgs,
		Short: "Ask the API server whether Keyturn's kinds are there and the manager has the rights it needs",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("no cluster to talk to (KUBECONFIG, or run in a pod): %w", err)
			}
			return check(cmd.Context(), config, namespace, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&namespace, "leader-election-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the lease (default $POD_NAMESPACE)")
	return cmd
}

// check reports what is missing, all of it at once.
func check(ctx context.Context, config *rest.Config, namespace string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 100, 100
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	kinds, err := checkKinds(client)
	if err != nil {
		return err
	}
	rights := 0
	var missing []string
	for _, part := range []struct {
		manifest  []byte
		namespace string
	}{{rbac.ManagerRole, ""}, {rbac.LeaderElectionRole, namespace}} {
		asked, refused, err := checkRights(ctx, client, part.manifest, part.namespace)
		if err != nil {
			return err
		}
		rights += asked
		missing = append(missing, refused...)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of %d rights are missing; apply config/rbac, or set rbac.create in the chart:\n  %s", len(missing), rights, strings.Join(missing, "\n  "))
	}
	_, err = fmt.Fprintf(out, "in order: %s are served, all %d rights are there\n", strings.Join(kinds, ", "), rights)
	return err
}

// checkKinds looks whether the API server serves the resources that the manager works on.
func checkKinds(client kubernetes.Interface) ([]string, error) {
	version := keyturnv1alpha1.GroupVersion
	const mend = "apply config/crd, or set crds.install in the chart"
	served, err := client.Discovery().ServerResourcesForGroupVersion(version.String())
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the API server does not know %s: %s", version, mend)
	}
	if err != nil {
		return nil, err
	}
	var wanted []string
	rules, err := rulesOf(rbac.ManagerRole)
	if err != nil {
		return nil, err
	}
	for _, rule := range rules {
		for _, resource := range rule.Resources {
			if slices.Contains(rule.APIGroups, version.Group) && !strings.Contains(resource, "/") && !slices.Contains(wanted, resource) {
				wanted = append(wanted, resource)
			}
		}
	}
	for _, resource := range wanted {
		if !slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }) {
			return nil, fmt.Errorf("the API server does not serve %s of %s: %s", resource, version, mend)
		}
	}
	return wanted, nil
}

// checkRights asks for each right of a role on its own. An empty namespace asks for all of them.
func checkRights(ctx context.Context, client kubernetes.Interface, manifest []byte, namespace string) (asked int, refused []string, err error) {
	rules, err := rulesOf(manifest)
	if err != nil {
		return 0, nil, err
	}
	reviews := client.AuthorizationV1().SelfSubjectAccessReviews()
	for _, wanted := range attributes(rules, namespace) {
		asked++
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &wanted}}
		answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return asked, nil, err
		}
		if !answer.Status.Allowed {
			refused = append(refused, inWords(&wanted))
		}
	}
	return asked, refused, nil
}

// rulesOf reads the rules of the first document of a manifest.
func rulesOf(manifest []byte) ([]rbacv1.PolicyRule, error) {
	document, _, _ := bytes.Cut(manifest, []byte("\n---\n"))
	var role rbacv1.ClusterRole // a Role has the same member
	if err := yaml.UnmarshalStrict(document, &role); err != nil {
		return nil, err
	}
	if len(role.Rules) == 0 {
		return nil, errors.New("a role of this program has no rules: report this")
	}
	return role.Rules, nil
}

// attributes takes rules apart into single rights.
func attributes(rules []rbacv1.PolicyRule, namespace string) []authorizationv1.ResourceAttributes {
	var out []authorizationv1.ResourceAttributes
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				resource, subresource, _ := strings.Cut(resource, "/")
				for _, verb := range rule.Verbs {
					out = append(out, authorizationv1.ResourceAttributes{
						Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
					})
				}
			}
		}
	}
	return out
}

func inWords(a *authorizationv1.ResourceAttributes) string {
	what, where := a.Resource, "every namespace"
	if a.Group != "" {
		what += "." + a.Group
	}
	if a.Subresource != "" {
		what += "/" + a.Subresource
	}
	if a.Namespace != "" {
		where = "namespace " + a.Namespace
	}
	return fmt.Sprintf("%s %s in %s", a.Verb, what, where)
}
