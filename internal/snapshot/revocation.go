package snapshot

// Revocation is something that somebody distrusts from now on. The token service writes it to its store once, however
// often it reads the document, and tells the number that it has there in [Status.Revoked].
type Revocation struct {
	// UID names it for ever: that of the object that it came from.
	UID string `json:"uid"`
	// Kind is session, user, all or key, as in package revocation.
	Kind string `json:"kind"`
	// Value is a session's id, a user (`sub`) or a kid; empty for all.
	Value string `json:"value,omitempty"`
}
