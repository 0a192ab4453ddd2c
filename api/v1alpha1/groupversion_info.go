package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every Keyturn kind.
const Group = "keyturn.dev"

var (
	// GroupVersion is the group and version that this package declares.
	GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

	// SchemeBuilder collects the functions that register the kinds.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds of this package in a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&SigningKeySet{}, &SigningKeySetList{},
		&TokenPolicy{}, &TokenPolicyList{},
		&TokenService{}, &TokenServiceList{},
		&AuthRollout{}, &AuthRolloutList{},
		&AccessPolicy{}, &AccessPolicyList{},
		&Revocation{}, &RevocationList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// Resource qualifies a resource name with the group, for errors and RESTMappers.
func Resource(resource string) schema.GroupResource {
	return GroupVersion.WithResource(resource).GroupResource()
}
