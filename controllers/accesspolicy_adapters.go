package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// adapters are the kinds of other people's objects that attach a policy to an ingress.
var adapters = map[keyturnv1alpha1.AdapterType]schema.GroupVersionKind{
	keyturnv1alpha1.AdapterEnvoyGateway: {Group: "gateway.envoyproxy.io", Version: "v1alpha1", Kind: "SecurityPolicy"},
	keyturnv1alpha1.AdapterTraefik:      {Group: "traefik.io", Version: "v1alpha1", Kind: "Middleware"},
}

// policyExtension is the context extension by which Envoy names the policy (gRPC). No client can set it.
const policyExtension = "keyturn.dev/policy"

// adapterName is the name of what is made for a policy.
func adapterName(acp *keyturnv1alpha1.AccessPolicy) string { return "keyturn-" + acp.Name }

// edgeService is the Service of the edge that a policy is asked at, whether it exists or not: while it does not, the ingress
// lets nobody through.
func edgeService(acp *keyturnv1alpha1.AccessPolicy) types.NamespacedName {
	service := serviceOfAccess(acp)
	return types.NamespacedName{Namespace: service.Namespace, Name: service.Name + "-extauthz"}
}

// adapt makes, restores or removes what attaches the policy to the ingress: it is applied, owned by the policy and goes with
// it. targets are those that it should be attached to. A stopped error says what keeps it from that.
func (b *base) adapt(ctx context.Context, acp *keyturnv1alpha1.AccessPolicy, targets []keyturnv1alpha1.AccessTargetReference) (string, error) {
	wanted := acp.Spec.Adapter.Type
	for kind, gvk := range adapters {
		if kind == wanted && (kind != keyturnv1alpha1.AdapterEnvoyGateway || len(targets) > 0) {
			continue
		}
		if err := b.detach(ctx, acp, gvk); err != nil {
			return "", err
		}
	}
	gvk, makes := adapters[wanted]
	if !makes || wanted == keyturnv1alpha1.AdapterEnvoyGateway && len(targets) == 0 {
		return "", nil
	}
	if known, err := b.served(gvk); err != nil {
		return "", err
	} else if !known {
		return "", stop(keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonAdapterNotInstalled,
			"this cluster does not have the kind %s of %s: install the ingress's CRDs, or choose another spec.adapter.type", gvk.Kind, gvk.GroupVersion())
	}
	object := securityPolicy(acp, targets)
	if wanted == keyturnv1alpha1.AdapterTraefik {
		object = middleware(acp)
	}
	err := b.apply(ctx, acp, object)
	var foreign *errForeign
	switch {
	case errors.As(err, &foreign):
		return "", stop(keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonNameTaken, "%s", foreign.Error())
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || strings.Contains(fmt.Sprint(err), "field not declared in schema"):
		return "", stop(keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonAdapterRefused,
			"the API server does not take the %s, its CRD may be of another version of the ingress: %v", gvk.Kind, err)
	case err != nil:
		return "", err
	}
	made := gvk.Kind + " " + object.GetName()
	if wanted == keyturnv1alpha1.AdapterEnvoyGateway {
		return made, b.attached(ctx, acp, gvk)
	}
	return made, nil
}

// served tells whether the cluster has this version of a kind.
func (b *base) served(gvk schema.GroupVersionKind) (bool, error) {
	_, err := b.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	return err == nil, err
}

// detach removes what another adapter made for this policy. What is not ours stays.
func (b *base) detach(ctx context.Context, acp *keyturnv1alpha1.AccessPolicy, gvk schema.GroupVersionKind) error {
	if known, err := b.served(gvk); err != nil || !known {
		return err
	}
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(gvk)
	err := b.live.Get(ctx, types.NamespacedName{Namespace: acp.Namespace, Name: adapterName(acp)}, found)
	if absent(err) {
		return nil
	}
	if err != nil || !metav1.IsControlledBy(found, acp) {
		return err
	}
	uid := found.GetUID()
	err = b.client.Delete(ctx, found, client.Preconditions{UID: &uid})
	if absent(err) {
		return nil
	}
	return err
}

// attached reads what Envoy Gateway says about our SecurityPolicy. Where it says nothing yet, neither does Keyturn.
func (b *base) attached(ctx context.Context, acp *keyturnv1alpha1.AccessPolicy, gvk schema.GroupVersionKind) error {
	if edge := edgeService(acp); edge.Namespace != acp.Namespace {
		grants, err := b.grantsIn(ctx, edge.Namespace)
		if err != nil {
			return err
		}
		if !grants.allow(gvk.Group, gvk.Kind, acp.Namespace, "", "Service", edge.Name) {
			return stop(keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonRefNotPermitted,
				"namespace %s does not let SecurityPolicies of namespace %s use Service %s: create a ReferenceGrant in namespace %s, from group %s, kind SecurityPolicy, namespace %s, to group \"\", kind Service",
				edge.Namespace, acp.Namespace, edge.Name, edge.Namespace, gvk.Group, acp.Namespace)
		}
	}
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(gvk)
	if err := b.live.Get(ctx, types.NamespacedName{Namespace: acp.Namespace, Name: adapterName(acp)}, found); err != nil {
		return client.IgnoreNotFound(err)
	}
	ancestors, _, _ := unstructured.NestedSlice(found.Object, "status", "ancestors")
	for _, ancestor := range ancestors {
		members, ok := ancestor.(map[string]any)
		if !ok {
			continue
		}
		said, _, _ := unstructured.NestedSlice(members, "conditions")
		for _, entry := range said {
			c, ok := entry.(map[string]any)
			if ok && c["type"] == "Overridden" && c["status"] == "True" {
				return stop(keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonAdapterRefused,
					"another SecurityPolicy takes the place of %s on some routes, which are not guarded by it: %v; name those routes in targetRefs, or give that SecurityPolicy the same extAuth", found.GetName(), c["message"])
			}
			if ok && c["type"] == "Accepted" && c["status"] == "False" {
				return stop(keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonAdapterRefused, "Envoy Gateway does not accept SecurityPolicy %s (%v): %v", found.GetName(), c["reason"], c["message"])
			}
		}
	}
	return nil
}

// foreignObject is an object of an adapter, with its labels.
func foreignObject(acp *keyturnv1alpha1.AccessPolicy, adapter keyturnv1alpha1.AdapterType, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(adapters[adapter])
	object.SetNamespace(acp.Namespace)
	object.SetName(adapterName(acp))
	object.SetLabels(map[string]string{
		keyturnv1alpha1.LabelName: keyturnv1alpha1.NameKeyturn, keyturnv1alpha1.LabelPartOf: keyturnv1alpha1.NameKeyturn,
		keyturnv1alpha1.LabelManagedBy: keyturnv1alpha1.ManagerName, keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentEdge,
		keyturnv1alpha1.LabelAccessPolicy: acp.Name,
	})
	return object
}

// securityPolicy is Envoy Gateway's: every request to the targets is put to the edge by gRPC, with all of its headers, and
// nothing passes while the edge does not answer.
func securityPolicy(acp *keyturnv1alpha1.AccessPolicy, targets []keyturnv1alpha1.AccessTargetReference) *unstructured.Unstructured {
	edge := edgeService(acp)
	refs := make([]any, 0, len(targets))
	for _, t := range targets {
		ref := map[string]any{"group": t.Group, "kind": t.Kind, "name": t.Name}
		if t.SectionName != nil {
			ref["sectionName"] = *t.SectionName
		}
		refs = append(refs, ref)
	}
	backend := map[string]any{"name": edge.Name, "port": int64(portGRPC)}
	if edge.Namespace != acp.Namespace {
		backend["namespace"] = edge.Namespace
	}
	return foreignObject(acp, keyturnv1alpha1.AdapterEnvoyGateway, map[string]any{
		"targetRefs": refs,
		"extAuth": map[string]any{
			"failOpen":          false,
			"grpc":              map[string]any{"backendRefs": []any{backend}},
			"contextExtensions": []any{map[string]any{"name": policyExtension, "type": "Value", "value": accessName(acp)}},
		},
	})
}

// middleware is Traefik's: a route that names it is put to the edge, with all of its headers: a list of those to pass on would
// hide other spellings of the identity from the edge, and other policies' headers, and they would reach the application.
// Traefik itself says what the request was, and replaces the headers of the identity by what the edge answers.
func middleware(acp *keyturnv1alpha1.AccessPolicy) *unstructured.Unstructured {
	forward := map[string]any{
		"address":             httpAddress(acp, "traefik"),
		"trustForwardHeader":  false,
		"authResponseHeaders": texts(toldHeaders(acp)),
	}
	if acp.Spec.Unauthenticated.Navigation == keyturnv1alpha1.NavigationRedirect {
		forward["preserveLocationHeader"] = true // or Traefik would send the browser to the edge
	}
	return foreignObject(acp, keyturnv1alpha1.AdapterTraefik, map[string]any{"forwardAuth": forward})
}

func texts(in []string) []any {
	out := make([]any, 0, len(in))
	for _, s := range in {
		out = append(out, s)
	}
	return out
}
