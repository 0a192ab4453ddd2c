package v1alpha1

// Condition types. Unless its comment says "negative", True is the good state. Every condition carries the
// observedGeneration it speaks about, and a message that answers the on-call question in one line.
const (
	// ConditionReady sums up: the object does its job. Every kind but TokenPolicy.
	ConditionReady = "Ready"
	// ConditionAccepted means valid and uncontested. TokenPolicy, AuthRollout, AccessPolicy, Revocation.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs means that every reference exists and is allowed. TokenService, AuthRollout, AccessPolicy,
	// Revocation; of a SigningKeySet with a keySource: the Secret exists, and every entry is a key that may sign.
	ConditionResolvedRefs = "ResolvedRefs"

	// ConditionPublished means that every replica has loaded every key that it should know. SigningKeySet.
	ConditionPublished = "Published"
	// ConditionStandbyReady means that the wanted number of standby keys is published on every replica, so that
	// an emergency activation is instant. SigningKeySet.
	ConditionStandbyReady = "StandbyReady"
	// ConditionRotationOverdue is negative: the rotation's instant has passed and something holds it. SigningKeySet.
	ConditionRotationOverdue = "RotationOverdue"
	// ConditionClockSkewed is negative: a replica's clock differs from the manager's by more than clockSkew. SigningKeySet.
	ConditionClockSkewed = "ClockSkewed"
	// ConditionRestoreDetected is negative: the ring came back from an old backup and was recovered. SigningKeySet.
	ConditionRestoreDetected = "RestoreDetected"
	// ConditionKeyMaterialLost is negative: the private half of a key that should sign is gone or damaged. SigningKeySet.
	ConditionKeyMaterialLost = "KeyMaterialLost"
	// ConditionRevocationPending is negative: a key that somebody wants revoked is not refused everywhere yet, and the message
	// says what that waits for. SigningKeySet.
	ConditionRevocationPending = "RevocationPending"

	// ConditionKeysLoaded means that every replica has loaded the newest snapshot with its keys. TokenService.
	ConditionKeysLoaded = "KeysLoaded"
	// ConditionStoreReachable means that every token-service replica can read and write its store. TokenService.
	ConditionStoreReachable = "StoreReachable"
	// ConditionClientAddressKnown means that every peer seen so far is one of trustedProxies; False names one that
	// is not. TokenService.
	ConditionClientAddressKnown = "ClientAddressKnown"
	// ConditionAvailable means that the workloads serve: at least one ready replica each. TokenService.
	ConditionAvailable = "Available"

	// ConditionInForce means that every replica works with the percentage of the status. AuthRollout.
	ConditionInForce = "InForce"
	// ConditionGuardPassing means that the cohort is not worse off, as far as the guard can tell; Unknown while it
	// cannot. AuthRollout.
	ConditionGuardPassing = "GuardPassing"
	// ConditionProgressing is neither good nor bad: True while the next step comes without anybody's doing, and when all
	// are taken. AuthRollout.
	ConditionProgressing = "Progressing"
	// ConditionRollbackSafe is neither good nor bad: True while a lower percentage has an effect and takes nothing from
	// anybody. AuthRollout.
	ConditionRollbackSafe = "RollbackSafe"

	// ConditionProgrammed means that every edge decides by the policy as it is, and that the adapter's object is there.
	// AccessPolicy.
	ConditionProgrammed = "Programmed"
	// ConditionEnforced means that requests through the ingress that must be refused were refused by this policy; Unknown
	// while nobody has tried. AccessPolicy. Of a Revocation: every edge that runs refuses what is revoked.
	ConditionEnforced = "Enforced"
)

// Condition reasons: stable, machine-readable, one cause each. Alerts and scripts may match them; messages may change.
//
//	Reason               Set on                                 What to do
//	Ready                Ready=True                             nothing
//	Accepted             Accepted=True                          nothing
//	AsExpected           any good state with nothing to say     nothing
//	Resolved             ResolvedRefs=True                      nothing
//	Progressing          Ready, Available=False                 wait: the first roll-out is under way
//	WaitingForReplicas   Published, KeysLoaded=False            look at the replicas that the message names
//	NoReplicas           Published, KeysLoaded, Ready=False     start a TokenService that refers to the set
//	ReplicaUnreachable   KeysLoaded, StoreReachable=Unknown     look at the named pod and the network policy
//	StoreUnavailable     StoreReachable=False                   look at the volume or server of the store
//	UntrustedPeer        ClientAddressKnown=False               add the ingress's address to trustedProxies
//	NotObserved          any Unknown                            wait: nothing has been seen yet
//	StandbyDisabled      StandbyReady=False                     set rotation.standbyKeys to 1, or accept it
//	StandbyPending       StandbyReady=False                     wait: the standby key is being published
//	SecretNotFound       ResolvedRefs=False                     create the Secret that spec.keySource names
//	KeyRefused           ResolvedRefs=False                     mend or remove the entries that the message names
//	NoKeyLeft            StandbyReady, Ready=False              add a key to the Secret that the message names
//	KeyTaken             Event                                  nothing: which entry became which key
//	RotationOverdue      RotationOverdue=True                   the message names what holds the rotation
//	ClockSkewed          ClockSkewed=True                       mend the clock (NTP) of the named node
//	KeyMaterialLost      KeyMaterialLost=True, Ready=False      restore the named Secret, or rotate
//	KeySecretInvalid     Ready, KeyMaterialLost                 a key Secret was edited or swapped: restore it
//	RevocationPending    RevocationPending=True                 look at the replicas that the message names
//	RevocationUnconfirmed RevocationPending=True                the named replicas may accept the key yet: look at them
//	RevocationUnknown    RevocationPending=True                 compare the kid with those in the status
//	RingRestored         RestoreDetected=True                   check what else the backup has brought back
//	RingAdopted          Event                                  was a set of that name here before? If not, delete ring and keys
//	DocumentRestored     Event                                  find out who edits the Secrets of that namespace
//	RingInvalid          Ready=False                            the ring Secret cannot be read: restore it
//	InvalidSpec          Ready, Accepted=False                  mend the field that the message names
//	RefNotFound          ResolvedRefs=False                     create the named object
//	PolicyNotFound       ResolvedRefs=False                     create the named TokenPolicy
//	KeySetNotFound       ResolvedRefs=False                     create the named SigningKeySet
//	KeySetNotReady       Ready=False                            look at the named SigningKeySet
//	SecretInvalid        ResolvedRefs=False                     mend the named Secret's content
//	ClusterKeysUnavailable ResolvedRefs=False, Event       let the manager read the API server's keys (config/rbac)
//	SnapshotFull         Ready, Accepted=False                  the configuration is too large: make it smaller
//	SnapshotRefused      KeysLoaded=False                       a replica refused a document: see its log
//	ForeignObject        Ready=False                            an object of that name is not ours: rename or delete it
//	InUse                Ready=False                            the set is being deleted: delete the TokenService first
//	WorkloadUnavailable  Available=False                        kubectl describe the named workload
//	TokenServiceNotFound ResolvedRefs=False                     create the named TokenService
//	Conflicted           Accepted=False                         an older object has the TokenService or the target: delete one
//	RefNotPermitted      ResolvedRefs, Programmed=False         create the ReferenceGrant that the message describes
//	TargetNotFound       ResolvedRefs=False                     create the named target, or mend targetRefs
//	NameTaken            Programmed=False                       an object of that name is not ours: rename or delete it
//	AdapterNotInstalled  Programmed=False                       install the ingress's CRDs, or choose another adapter
//	AdapterRefused       Programmed=False                       the ingress refuses our object: see the message
//	NotProbed            Enforced=Unknown                       set spec.probe, or try it: the message says how
//	Probed               Enforced=True                          nothing: the ingress asks this policy
//	NotEnforced          Enforced=False, Event                  the ingress does not ask the edge: the route may be open
//	WrongPolicy          Enforced=False                         the ingress asks by another policy: mend what it names
//	AuditOnly            Enforced=False                         the mode is Audit: set Enforce to refuse
//	ProbeFailed          Enforced=Unknown                       the message says why the probe got no answer
//	Enforced             Enforced=True, Event                   nothing: every edge refuses it
//	KeyNotFound          ResolvedRefs=False                     compare the kid with those in the set's status
//	AwaitingTakeover     Enforced=False                         wait; the message says what the next key waits for
//	PolicyDeleted        Event                                  what asks by its name is refused; a route may be open
//	Promoted             Progressing=True, Event                nothing
//	RolledBack           Event                                  look at status.state.rollback: the evidence
//	Aborted              Progressing=False, Event               kubectl keyturn rollout resume, once mended
//	Held                 Progressing=False, Event               kubectl keyturn rollout resume
//	Resumed              Event                                  nothing
//	Paused               Progressing=False                      set spec.paused to false
//	Baking               Progressing=True                       wait: the step is young
//	TooFewSamples        Progressing=True                       wait: the guard has not had enough events
//	NoData               Progressing=False, GuardPassing=Unknown   look at the replicas that the message names
//	AwaitingApproval     Progressing=False                      kubectl keyturn rollout promote
//	CoolingDown          Progressing=False                      mend the cause of the rollback, then wait or resume
//	GuardFailed          Progressing, GuardPassing=False        look at the errors of users with tokens
//	UnevenSplit          Progressing, GuardPassing=False        another rollout with another salt, or resume
//	Complete             Progressing=True                       nothing: everybody gets tokens
//	Deprecated           RollbackSafe=False                     to go back, move spec.deprecation.at
//	SunsetReached        RollbackSafe=False, Event              nothing: the sessions have ended
//	SunsetWaits          Event                                  find out who still uses sessions
//	ReportWritten        Event                                  read the ConfigMap that status.report names
//	StatusRecovered      Event                                  the status was lost: look whether the percentage is right
//	StatusLost           Ready=False                            wait: the documents are being put right, and tell the percentage
//	CommandRefused       Event                                  the annotation cannot be understood: see its message
//	SessionsInUse        Ready=False                            deletion waits: its message says how to end the sessions now
//	SessionsEnded        Event                                  the rollout was deleted: sessions are refused
const (
	ReasonReady                  = "Ready"
	ReasonAccepted               = "Accepted"
	ReasonAsExpected             = "AsExpected"
	ReasonResolved               = "Resolved"
	ReasonProgressing            = "Progressing"
	ReasonWaitingForReplicas     = "WaitingForReplicas"
	ReasonNoReplicas             = "NoReplicas"
	ReasonReplicaUnreachable     = "ReplicaUnreachable"
	ReasonStoreUnavailable       = "StoreUnavailable"
	ReasonUntrustedPeer          = "UntrustedPeer"
	ReasonNotObserved            = "NotObserved"
	ReasonStandbyDisabled        = "StandbyDisabled"
	ReasonStandbyPending         = "StandbyPending"
	ReasonSecretNotFound         = "SecretNotFound"
	ReasonKeyRefused             = "KeyRefused"
	ReasonNoKeyLeft              = "NoKeyLeft"
	ReasonKeyTaken               = "KeyTaken"
	ReasonRotationOverdue        = "RotationOverdue"
	ReasonClockSkewed            = "ClockSkewed"
	ReasonKeyMaterialLost        = "KeyMaterialLost"
	ReasonRevocationPending      = "RevocationPending"
	ReasonRevocationUnconfirmed  = "RevocationUnconfirmed"
	ReasonRevocationUnknown      = "RevocationUnknown"
	ReasonKeySecretInvalid       = "KeySecretInvalid"
	ReasonRingRestored           = "RingRestored"
	ReasonRingAdopted            = "RingAdopted"
	ReasonDocumentRestored       = "DocumentRestored"
	ReasonRingInvalid            = "RingInvalid"
	ReasonInvalidSpec            = "InvalidSpec"
	ReasonRefNotFound            = "RefNotFound"
	ReasonPolicyNotFound         = "PolicyNotFound"
	ReasonKeySetNotFound         = "KeySetNotFound"
	ReasonKeySetNotReady         = "KeySetNotReady"
	ReasonSecretInvalid          = "SecretInvalid"
	ReasonClusterKeysUnavailable = "ClusterKeysUnavailable"
	ReasonSnapshotFull           = "SnapshotFull"
	ReasonSnapshotRefused        = "SnapshotRefused"
	ReasonForeignObject          = "ForeignObject"
	ReasonInUse                  = "InUse"
	ReasonWorkloadUnavailable    = "WorkloadUnavailable"
	ReasonTokenServiceNotFound   = "TokenServiceNotFound"
	ReasonConflicted             = "Conflicted"
	ReasonPromoted               = "Promoted"
	ReasonRolledBack             = "RolledBack"
	ReasonAborted                = "Aborted"
	ReasonHeld                   = "Held"
	ReasonResumed                = "Resumed"
	ReasonPaused                 = "Paused"
	ReasonBaking                 = "Baking"
	ReasonTooFewSamples          = "TooFewSamples"
	ReasonNoBaseline             = "NoBaseline"
	ReasonNoData                 = "NoData"
	ReasonAwaitingApproval       = "AwaitingApproval"
	ReasonCoolingDown            = "CoolingDown"
	ReasonGuardFailed            = "GuardFailed"
	ReasonUnevenSplit            = "UnevenSplit"
	ReasonComplete               = "Complete"
	ReasonDeprecated             = "Deprecated"
	ReasonSunsetReached          = "SunsetReached"
	ReasonSunsetWaits            = "SunsetWaits"
	ReasonReportWritten          = "ReportWritten"
	ReasonStatusRecovered        = "StatusRecovered"
	ReasonStatusLost             = "StatusLost"
	ReasonCommandRefused         = "CommandRefused"
	ReasonSessionsInUse          = "SessionsInUse"
	ReasonSessionsEnded          = "SessionsEnded"
	ReasonEnforced               = "Enforced"
	ReasonKeyNotFound            = "KeyNotFound"
	ReasonAwaitingTakeover       = "AwaitingTakeover"
	ReasonRefNotPermitted        = "RefNotPermitted"
	ReasonTargetNotFound         = "TargetNotFound"
	ReasonNameTaken              = "NameTaken"
	ReasonAdapterNotInstalled    = "AdapterNotInstalled"
	ReasonAdapterRefused         = "AdapterRefused"
	ReasonNotProbed              = "NotProbed"
	ReasonProbed                 = "Probed"
	ReasonNotEnforced            = "NotEnforced"
	ReasonWrongPolicy            = "WrongPolicy"
	ReasonAuditOnly              = "AuditOnly"
	ReasonProbeFailed            = "ProbeFailed"
	ReasonPolicyDeleted          = "PolicyDeleted"
)
