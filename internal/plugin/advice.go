package plugin

import (
	"regexp"
	"strings"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

const managerAdvice = "is the manager running? Look at it: kubectl get deployments -A -l app.kubernetes.io/name=keyturn,app.kubernetes.io/component=manager"

// advices say what to do about a reason; commands come last. NS, KIND and NAME stand for the object, POD for the replica
// that the message names.
var advices = map[string]string{
	v1alpha1.ReasonProgressing:            "wait a minute; if it stays, look at the pods: kubectl -n NS get pods -l keyturn.dev/token-service",
	v1alpha1.ReasonWaitingForReplicas:     "look at that replica: kubectl -n NS logs POD",
	v1alpha1.ReasonNoReplicas:             "create a TokenService that refers to the set, or see why its pods do not start: kubectl -n NS get tsvc,pods",
	v1alpha1.ReasonReplicaUnreachable:     "look at that pod, and at network policies that keep the manager from its port 9090: kubectl -n NS describe pod POD",
	v1alpha1.ReasonStoreUnavailable:       "look at the volume or the store's server, and at the pod's log: kubectl -n NS get pvc; kubectl -n NS logs POD",
	v1alpha1.ReasonUntrustedPeer:          "if that is your ingress, add its address to spec.trustedProxies: kubectl -n NS edit tsvc NAME",
	v1alpha1.ReasonNotObserved:            "wait: nothing has been seen yet",
	v1alpha1.ReasonStandbyDisabled:        "set spec.rotation.standbyKeys to 1, or accept it: kubectl -n NS edit sks NAME",
	v1alpha1.ReasonStandbyPending:         "wait: the standby key is being published. See how far it is: kubectl keyturn keys NAME -n NS",
	v1alpha1.ReasonSecretNotFound:         "create the Secret with a private key in each entry; no key is made in its place: kubectl -n NS create secret generic SECRET --from-file=key.pem",
	v1alpha1.ReasonKeyRefused:             "mend or remove the entries that the message names; the other entries are used: kubectl -n NS describe sks NAME",
	v1alpha1.ReasonNoKeyLeft:              "add a key that was not used yet to the Secret that the message names; no key is made in its place: kubectl -n NS describe sks NAME",
	v1alpha1.ReasonRotationOverdue:        "mend what the message names; the old key goes on signing meanwhile: kubectl -n NS logs POD",
	v1alpha1.ReasonClockSkewed:            "mend the clock (NTP) of that replica's node: kubectl -n NS get pods -o wide",
	v1alpha1.ReasonKeyMaterialLost:        "restore the named Secret from a backup; if you have none, wait until the next key takes over: kubectl keyturn keys NAME -n NS",
	v1alpha1.ReasonRevocationPending:      "look at the replicas that the message names: kubectl describe pod -n NS; the key is refused once the next one signs",
	v1alpha1.ReasonRevocationUnconfirmed:  "look at the replicas that the message names: until they answer they may accept the key; delete a pod that stays silent",
	v1alpha1.ReasonRevocationUnknown:      "compare the kid of the Revocation with status.keys: kubectl keyturn keys NAME -n NS",
	v1alpha1.ReasonKeySecretInvalid:       "a key Secret was edited or swapped: restore it from a backup, or wait until the next key takes over: kubectl keyturn keys NAME -n NS",
	v1alpha1.ReasonRingRestored:           "nothing more for the keys, which recover by themselves; check what else the backup has brought back",
	v1alpha1.ReasonRingAdopted:            "was there a set of that name before? if not, delete the set, and the Secrets of its ring and keys: kubectl -n NS get secrets",
	v1alpha1.ReasonDocumentRestored:       "it was put right; find out who edits the Secrets of that namespace: kubectl -n NS get events",
	v1alpha1.ReasonRingInvalid:            "restore the Secret NAME-ring from a backup: kubectl -n NS get secret NAME-ring",
	v1alpha1.ReasonInvalidSpec:            "mend the field that the message names: kubectl -n NS edit KIND NAME",
	v1alpha1.ReasonRefNotFound:            "create the object that the message names, or refer to another one: kubectl -n NS edit KIND NAME",
	v1alpha1.ReasonPolicyNotFound:         "create the named TokenPolicy, or refer to another one: kubectl -n NS get tpol",
	v1alpha1.ReasonKeySetNotFound:         "create the named SigningKeySet, or refer to another one: kubectl -n NS get sks",
	v1alpha1.ReasonKeySetNotReady:         "look at the named SigningKeySet: kubectl keyturn keys -n NS",
	v1alpha1.ReasonSecretInvalid:          "mend the named Secret. If it is a list of users, this shows the bad lines: kubectl keyturn user list -n NS",
	v1alpha1.ReasonClusterKeysUnavailable: "let the manager read the API server's keys, as config/rbac does; this asks whether it may: kubectl auth can-i get /openid/v1/jwks --as=system:serviceaccount:keyturn-system:keyturn-manager",
	v1alpha1.ReasonSnapshotFull:           "make the configuration smaller; the last good one stays in force",
	v1alpha1.ReasonSnapshotRefused:        "the replica goes on with the last good document; its log says why it refused: kubectl -n NS logs POD",
	v1alpha1.ReasonForeignObject:          "rename or delete the object that the message names: it was not made by Keyturn",
	v1alpha1.ReasonInUse:                  "delete the TokenServices that refer to the set first: kubectl -n NS get tsvc",
	v1alpha1.ReasonTokenServiceNotFound:   "create the named TokenService, or name another: kubectl -n NS get tsvc",
	v1alpha1.ReasonConflicted:             "delete the one that is not wanted, or let it name something else: kubectl -n NS get KIND --sort-by=.metadata.creationTimestamp",
	v1alpha1.ReasonNoData:                 "nothing moves until the counters can be read: kubectl -n NS describe pod POD",
	v1alpha1.ReasonNoBaseline:             "wait: the guard judges by absolute limits until it has counted enough; lower spec.guard.minSamples if it never will: kubectl -n NS edit aro NAME",
	v1alpha1.ReasonTooFewSamples:          "wait: the guard has not had enough events; lower spec.guard.minSamples if there never will be: kubectl -n NS edit aro NAME",
	v1alpha1.ReasonGuardFailed:            "look at the errors of users with tokens; after some more judgements the step is taken back: kubectl keyturn rollout status NAME -n NS",
	v1alpha1.ReasonRolledBack:             "mend the cause, then go on: kubectl keyturn rollout resume NAME -n NS",
	v1alpha1.ReasonUnevenSplit:            "wait for the next judgement; if it stays, create another AuthRollout with another salt: kubectl keyturn rollout status NAME -n NS",
	v1alpha1.ReasonHeld:                   "go on, when you want to: kubectl keyturn rollout resume NAME -n NS",
	v1alpha1.ReasonAborted:                "begin again, once mended: kubectl keyturn rollout resume NAME -n NS",
	v1alpha1.ReasonPaused:                 "set spec.paused to false: kubectl -n NS edit aro NAME",
	v1alpha1.ReasonAwaitingApproval:       "say so: kubectl keyturn rollout promote NAME -n NS",
	v1alpha1.ReasonCoolingDown:            "mend the cause, then wait, or go on: kubectl keyturn rollout resume NAME -n NS",
	v1alpha1.ReasonDeprecated:             "to go back to sessions, move spec.deprecation.at to later: kubectl -n NS edit aro NAME",
	v1alpha1.ReasonSunsetReached:          "legacy sessions have ended; delete the AuthRollout when nobody needs its history: kubectl -n NS delete aro NAME",
	v1alpha1.ReasonSunsetWaits:            "find out who still uses sessions: kubectl keyturn rollout status NAME -n NS",
	v1alpha1.ReasonReportWritten:          "read it: kubectl -n NS get configmap NAME-report -o jsonpath='{.data.report\\.md}'",
	v1alpha1.ReasonStatusRecovered:        "see whether the percentage is right, and who removed the status: kubectl keyturn rollout status NAME -n NS",
	v1alpha1.ReasonStatusLost:             "wait a minute: the documents are being put right. If it stays, look at the TokenService: kubectl -n NS get tsvc",
	v1alpha1.ReasonCommandRefused:         "give the command again as the message says: kubectl keyturn rollout status NAME -n NS",
	v1alpha1.ReasonSessionsInUse:          "wait for the sunset, or log out whoever has a session, now: kubectl -n NS annotate aro NAME keyturn.dev/end-sessions=true",
	v1alpha1.ReasonSessionsEnded:          "to accept legacy sessions again, create the AuthRollout again: kubectl -n NS get aro",
	v1alpha1.ReasonRefNotPermitted:        "somebody with rights in the other namespace must create the ReferenceGrant that the message describes: kubectl -n NS describe acp NAME",
	v1alpha1.ReasonTargetNotFound:         "create what the message names, or mend spec.targetRefs; what asks by the policy's name is decided all the same: kubectl -n NS edit acp NAME",
	v1alpha1.ReasonNameTaken:              "rename or delete the object that the message names: it was not made by Keyturn, and nothing guards the route: kubectl -n NS describe acp NAME",
	v1alpha1.ReasonAdapterNotInstalled:    "install the ingress's CRDs, or choose another spec.adapter.type: kubectl -n NS edit acp NAME",
	v1alpha1.ReasonAdapterRefused:         "mend what the ingress says in the message; an object of somebody else may have the target: kubectl -n NS describe acp NAME",
	v1alpha1.ReasonNotEnforced:            "configure the ingress as status.snippet and docs/ingress say, and see that it has installed it; until then the route may be open: kubectl -n NS get acp NAME -o jsonpath={.status.snippet}",
	v1alpha1.ReasonWrongPolicy:            "let the ingress name this policy at this address, as status.snippet says, or mend spec.probe.url: kubectl -n NS get acp NAME -o jsonpath={.status.snippet}",
	v1alpha1.ReasonAuditOnly:              "once the edges' log has no would_deny that surprises: kubectl -n NS patch acp NAME --type merge -p '{\"spec\":{\"mode\":\"Enforce\"}}'",
	v1alpha1.ReasonProbeFailed:            "mend what the message names: the address in spec.probe.url, its certificate, or the ingress itself: kubectl -n NS describe acp NAME",
	v1alpha1.ReasonNotProbed:              "set spec.probe.url to an address that the policy protects, or send a request without a credential through the ingress: it must be answered 401 or 403, and not by the application: kubectl -n NS get acp NAME",
	v1alpha1.ReasonPolicyDeleted:          "if it was a mistake, create it again: until then the edge refuses who asks by its name, and routes may be open: kubectl -n NS get acp",
	v1alpha1.ReasonKeyNotFound:            "nothing accepts such a key; look for the right one, and create another Revocation: kubectl keyturn keys -n NS -o wide",
	v1alpha1.ReasonAwaitingTakeover:       "wait for the next key to take over; the message says what that waits for: kubectl keyturn exposure -n NS; kubectl keyturn keys -n NS",
	v1alpha1.ReasonWorkloadUnavailable:    "see why its pods do not start: kubectl -n NS get pods -l keyturn.dev/token-service=NAME",
}

// replicaName finds a pod of the two workloads in a message, the one that is in trouble first.
var replicaName = []*regexp.Regexp{
	regexp.MustCompile(`([a-z0-9][-a-z0-9]*-(?:tokenservice|extauthz)-[a-z0-9][-a-z0-9]*),? (?:does not answer|is unreachable|which is unreachable|refused)`),
	regexp.MustCompile(`([a-z0-9][-a-z0-9]*-(?:tokenservice|extauthz)-[a-z0-9][-a-z0-9]*)`),
}

func advice(p *Problem) string {
	pod := "POD"
	for _, form := range replicaName {
		if found := form.FindStringSubmatch(p.Message); found != nil {
			pod = found[1]
			break
		}
	}
	return strings.NewReplacer("NS", p.Namespace, "NAME", p.Name, "KIND", strings.ToLower(p.Kind), "POD", pod).Replace(advices[p.Reason])
}

// steps are the lines of an advice: words are wrapped, and each command has a line of its own, whole, to be copied.
func steps(text string, columns int) []string {
	words, commands, found := strings.Cut(clean(text), ": kubectl ")
	if !found {
		return wrap(words, columns)
	}
	lines := wrap(words+":", columns)
	for command := range strings.SplitSeq("kubectl "+commands, "; ") {
		lines = append(lines, command)
	}
	return lines
}
