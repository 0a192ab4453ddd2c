package snapshot

import "time"

// Status is what a replica answers on `GET /status` of its internal port: the acknowledgement on which every gate of
// the control plane rests. It never carries a secret.
type Status struct {
	// Role is "issuer" or "edge".
	Role string `json:"role"`
	// Instance is the pod's name.
	Instance string `json:"instance"`
	// TokenService is the namespace/name in the document that is in force.
	TokenService string `json:"tokenService"`
	// KeySet is the namespace/name of the SigningKeySet in that document, to which Epoch and KIDs belong; empty while
	// there is none.
	KeySet string `json:"keySet,omitempty"`
	// Revision and Epoch are those of the document in force; 0 while there is none.
	Revision int64 `json:"revision"`
	Epoch    int64 `json:"epoch"`
	// ActiveKID signs (issuer) or is expected to sign (edge).
	ActiveKID string `json:"activeKid"`
	// KIDs are the keys whose signatures this replica accepts or publishes; sorted.
	KIDs []string `json:"kids"`
	// Keys are the public halves of KIDs, at most StatusMaxKeys: after a restore of the cluster from a backup nobody else may
	// know the keys that were made since.
	Keys []Key `json:"keys,omitempty"`
	// LatestExpiry is, for an issuer, the latest `exp` it signed since it started, by kid.
	LatestExpiry map[string]time.Time `json:"latestExpiry,omitempty"`
	// LiveTokens is, for an issuer, how many tokens it signed since it started have not expired, by kid. Those that a logout
	// ended are among them.
	LiveTokens map[string]int64 `json:"liveTokens,omitempty"`
	// Clock is the replica's time when it answered.
	Clock time.Time `json:"clock"`
	// Refused describes the newest document that was not taken; nil when the newest is in force.
	Refused *Refusal `json:"refused,omitempty"`
	// StoreReachable is, for an issuer, whether the last store operation worked.
	StoreReachable bool `json:"storeReachable,omitempty"`
	// StoreReason says, for an issuer whose store is not reachable, why, and how to mend it.
	StoreReason string `json:"storeReason,omitempty"`
	// UntrustedPeer is an address that sent requests without being a trusted proxy; empty if none was seen lately.
	UntrustedPeer string `json:"untrustedPeer,omitempty"`
	// Rollout is what this replica has counted since it started, while there is an AuthRollout.
	Rollout *RolloutCounts `json:"rollout,omitempty"`
	// Revoked are, for an issuer, the numbers in its store of those of Issuer.Revocations that are in it, by UID.
	Revoked map[string]uint64 `json:"revoked,omitempty"`
	// Revocations is, for an edge, how fresh its list is.
	Revocations *RevocationStatus `json:"revocations,omitempty"`
}

// StatusMaxKeys bounds the public keys that a replica reports. A ring has at most 16.
const StatusMaxKeys = 64

// Reported are the keys of the set that a replica puts into its Status.
func (s *KeySet) Reported() []Key { return s.Keys[:min(len(s.Keys), StatusMaxKeys)] }

// RolloutCounts are counters of one replica since Started: readers take differences, and begin anew when Started changes.
type RolloutCounts struct {
	Started time.Time `json:"started"`
	// Percent is the share in force at this replica.
	Percent int `json:"percent"`
	// Cohort and Control count what both sides have: edge decisions and logins. Endpoints counts refreshes and exchanges.
	Cohort    EventCounts `json:"cohort"`
	Control   EventCounts `json:"control"`
	Endpoints EventCounts `json:"endpoints"`
	// Slow are those events that took longer than Rollout.SlowAfter, out of all of Cohort and Control; left out without it.
	Slow EventSides `json:"slow,omitzero"`
	// Logins are the logins, and those of them that were forced: by users who had just been given a credential here.
	Logins EventSides `json:"logins,omitzero"`
	// Sessions and Tokens count edge decisions by the credential that authorized them.
	Sessions uint64 `json:"sessions"`
	Tokens   uint64 `json:"tokens"`
}

// EventSides are the same events of both sides.
type EventSides struct {
	Cohort  EventCounts `json:"cohort"`
	Control EventCounts `json:"control"`
}

// EventCounts are events and those of them that failed without the user's doing.
type EventCounts struct {
	Events   uint64 `json:"events"`
	Failures uint64 `json:"failures"`
}

// Refusal says why a document was refused.
type Refusal struct {
	// Revision is the refused document's; 0 when it could not be read.
	Revision int64 `json:"revision"`
	// Reason is stable: Undecodable, WrongFormat, EpochFell, KeyMismatch, Incomplete, WrongTokenService.
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
}

// RevocationStatus is the freshness of an edge's revocation list.
type RevocationStatus struct {
	// Loaded is whether the complete list was ever loaded.
	Loaded bool `json:"loaded"`
	// Applied is the number of the newest revocation applied.
	Applied uint64 `json:"applied"`
	// Stale is whether the lease has run out.
	Stale bool `json:"stale"`
}
