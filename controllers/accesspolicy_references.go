package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

const groupGateway = "gateway.networking.k8s.io"

// installed returns the version of other people's kind that this cluster prefers, and false if it does not have the kind.
func (b *base) installed(kind schema.GroupKind) (schema.GroupVersionKind, bool, error) {
	mapping, err := b.client.RESTMapper().RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return schema.GroupVersionKind{}, false, nil
	}
	if err != nil {
		return schema.GroupVersionKind{}, false, err
	}
	return mapping.GroupVersionKind, true, nil
}

// referenceGrants are those of one namespace (Gateway API). nil: the cluster does not have the kind.
type referenceGrants struct{ items []unstructured.Unstructured }

var referenceGrantKind = schema.GroupKind{Group: groupGateway, Kind: "ReferenceGrant"}

// grantsIn reads the grants of a namespace live: one that was taken back must not count any longer.
func (b *base) grantsIn(ctx context.Context, namespace string) (*referenceGrants, error) {
	gvk, found, err := b.installed(referenceGrantKind)
	if err != nil || !found {
		return &referenceGrants{}, err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk)
	if err := b.live.List(ctx, list, client.InNamespace(namespace)); absent(err) {
		return &referenceGrants{}, nil
	} else if err != nil {
		return nil, err
	}
	return &referenceGrants{list.Items}, nil
}

// absent tells that something is not there: the object, or its kind, which may go at any time.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// allow tells whether a grant lets objects of a kind and namespace refer to an object.
func (g *referenceGrants) allow(fromGroup, fromKind, fromNamespace, toGroup, toKind, toName string) bool {
	for i := range g.items {
		from, _, _ := unstructured.NestedSlice(g.items[i].Object, "spec", "from")
		to, _, _ := unstructured.NestedSlice(g.items[i].Object, "spec", "to")
		if says(from, map[string]string{"group": fromGroup, "kind": fromKind, "namespace": fromNamespace}) &&
			(says(to, map[string]string{"group": toGroup, "kind": toKind, "name": toName}) ||
				says(to, map[string]string{"group": toGroup, "kind": toKind, "name": ""})) {
			return true
		}
	}
	return false
}

// says tells whether one of the entries has exactly these members; a missing one is an empty text.
func says(entries []any, want map[string]string) bool {
	for _, entry := range entries {
		members, ok := entry.(map[string]any)
		for name, value := range want {
			got, isText := members[name].(string)
			ok = ok && got == value && (isText || members[name] == nil)
		}
		if ok {
			return true
		}
	}
	return false
}

// accessService finds the TokenService of a policy, if the policy may refer to it.
func (b *base) accessService(ctx context.Context, acp *keyturnv1alpha1.AccessPolicy) (*keyturnv1alpha1.TokenService, error) {
	name := serviceOfAccess(acp)
	const unresolved = keyturnv1alpha1.ConditionResolvedRefs
	if name.Namespace != acp.Namespace {
		if _, found, err := b.installed(referenceGrantKind); err != nil {
			return nil, err
		} else if !found {
			return nil, stop(unresolved, keyturnv1alpha1.ReasonRefNotPermitted,
				"TokenService %s is in another namespace, which takes a ReferenceGrant there, and this cluster does not have that kind: install the Gateway API's CRDs, or put the policy into namespace %s", name, name.Namespace)
		}
		grants, err := b.grantsIn(ctx, name.Namespace)
		if err != nil {
			return nil, err
		}
		if !grants.allow(keyturnv1alpha1.Group, "AccessPolicy", acp.Namespace, keyturnv1alpha1.Group, "TokenService", name.Name) {
			return nil, stop(unresolved, keyturnv1alpha1.ReasonRefNotPermitted,
				"namespace %s does not let AccessPolicies of namespace %s refer to TokenService %s, so the edge refuses who asks by this policy: create a ReferenceGrant in namespace %s, from group %s, kind AccessPolicy, namespace %s, to group %s, kind TokenService",
				name.Namespace, acp.Namespace, name.Name, name.Namespace, keyturnv1alpha1.Group, acp.Namespace, keyturnv1alpha1.Group)
		}
	}
	var tsvc keyturnv1alpha1.TokenService
	err := b.client.Get(ctx, name, &tsvc)
	if apierrors.IsNotFound(err) || err == nil && !tsvc.DeletionTimestamp.IsZero() {
		return nil, stop(unresolved, keyturnv1alpha1.ReasonTokenServiceNotFound, "there is no TokenService %q in namespace %s: create it, or mend spec.tokenServiceRef", name.Name, name.Namespace)
	}
	return &tsvc, err
}

// missingTarget says why a target is not there; empty: it is.
func (b *base) missingTarget(ctx context.Context, namespace string, target *keyturnv1alpha1.AccessTargetReference) (string, error) {
	gvk, found, err := b.installed(schema.GroupKind{Group: target.Group, Kind: target.Kind})
	if err != nil {
		return "", err
	}
	if !found {
		return "this cluster does not have the kind " + target.Kind + " of group " + target.Group + ": install the Gateway API's CRDs", nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(gvk)
	err = b.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: target.Name}, object)
	if absent(err) {
		return "there is no " + target.Kind + " " + target.Name + " in namespace " + namespace + ": create it, or mend spec.targetRefs", nil
	}
	return "", err
}
