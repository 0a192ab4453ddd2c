package v1alpha1

// Labels on every object that Keyturn makes.
const (
	// LabelName holds the application, always NameKeyturn.
	LabelName = "app.kubernetes.io/name"
	// LabelInstance holds the name of the object that the derived object was made for.
	LabelInstance = "app.kubernetes.io/instance"
	// LabelComponent holds one of the Component constants.
	LabelComponent = "app.kubernetes.io/component"
	// LabelPartOf holds the application, always NameKeyturn.
	LabelPartOf = "app.kubernetes.io/part-of"
	// LabelManagedBy holds ManagerName.
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// LabelSigningKeySet holds the SigningKeySet's name, on everything made for a set. Labels find objects; they
	// never prove ownership.
	LabelSigningKeySet = "keyturn.dev/signing-key-set"
	// LabelTokenService holds the TokenService's name, on everything made for a token service.
	LabelTokenService = "keyturn.dev/token-service"

	// LabelAccessPolicy holds the AccessPolicy's name, on what an adapter made for it.
	LabelAccessPolicy = "keyturn.dev/access-policy"

	// LabelMonitoring with the value "true" on a namespace lets its pods read the metrics of token services and edges.
	LabelMonitoring = "keyturn.dev/monitoring"
)

// Values of the app.kubernetes.io labels.
const (
	// NameKeyturn is the value of LabelName and LabelPartOf.
	NameKeyturn = "keyturn"
	// ManagerName is the value of LabelManagedBy and the field manager of server-side apply.
	ManagerName = "keyturn-manager"

	// ComponentManager is the controller manager.
	ComponentManager = "manager"
	// ComponentTokenService is the token service.
	ComponentTokenService = "token-service"
	// ComponentEdge is the edge authorization service.
	ComponentEdge = "edge"
	// ComponentKeys is everything that holds keys: ring, private halves, JWKS.
	ComponentKeys = "keys"
)

// Annotations and finalizers.
const (
	// AnnotationRotateRequestedAt on a SigningKeySet asks for one rotation now. Any new non-empty value is one
	// request; by custom it is the instant in RFC 3339. status.rotateRequestObserved acknowledges it.
	AnnotationRotateRequestedAt = "keyturn.dev/rotate-requested-at"
	// AnnotationSnapshotRevision on a pod holds the revision of the newest snapshot. Writing it makes the kubelet
	// refresh the mounted Secret at once instead of within about a minute.
	AnnotationSnapshotRevision = "keyturn.dev/snapshot-revision"

	// AnnotationRolloutCommand on an AuthRollout commands one action: "ID ACTION", where the id is any new text without
	// a space, by custom the instant in RFC 3339, and the action promote, hold, resume or abort. status.state.command
	// acknowledges the id, status.refusedCommand says why it cannot be carried out.
	AnnotationRolloutCommand = "keyturn.dev/rollout-command"
	// AnnotationEndSessions with the value "true" on an AuthRollout that is being deleted lets it go although legacy
	// sessions are still accepted: who has one must log in again.
	AnnotationEndSessions = "keyturn.dev/end-sessions"

	// FinalizerInUse keeps a SigningKeySet while a TokenService refers to it, and an AuthRollout while its legacy
	// sessions are accepted.
	FinalizerInUse = "keyturn.dev/in-use"
)
