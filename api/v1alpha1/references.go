package v1alpha1

// SigningKeySetReference names a SigningKeySet in the namespace of the object
// that refers to it.
type SigningKeySetReference struct {
	// name of the SigningKeySet in this namespace. Private keys never cross a
	// namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`
}

// TokenPolicyReference names a TokenPolicy in the namespace of the object that
// refers to it.
type TokenPolicyReference struct {
	// name of the TokenPolicy in this namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`
}

// SecretReference names a Secret in the namespace of the object that refers to
// it.
type SecretReference struct {
	// name of the Secret in this namespace. Keyturn reads it and never makes one
	// in its place.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`
}
