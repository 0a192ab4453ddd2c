package plugin

import (
	"strings"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

const managerAdvice = "is the manager running? kubectl get deployments -A -l app.kubernetes.io/name=keyturn,app.kubernetes.io/component=manager"

// advices say what to do about a reason. NS, KIND and NAME stand for the object.
var advices = map[string]string{
	v1alpha1.ReasonProgressing:         "wait a minute; if it stays, look at the pods: kubectl -n NS get pods -l keyturn.dev/token-service",
	v1alpha1.ReasonWaitingForReplicas:  "look at the replica that the message names: kubectl -n NS logs POD",
	v1alpha1.ReasonNoReplicas:          "create a TokenService that refers to the set, or see why its pods do not start: kubectl -n NS get tsvc,pods",
	v1alpha1.ReasonReplicaUnreachable:  "look at the pod that the message names, and at network policies that keep the manager from its port 9090: kubectl -n NS describe pod POD",
	v1alpha1.ReasonStoreUnavailable:    "look at the volume and the log of the pod that the message names: kubectl -n NS get pvc; kubectl -n NS logs POD",
	v1alpha1.ReasonUntrustedPeer:       "if it is your ingress, add its address to spec.trustedProxies: kubectl -n NS edit tsvc NAME",
	v1alpha1.ReasonNotObserved:         "wait: nothing has been seen yet",
	v1alpha1.ReasonStandbyDisabled:     "set spec.rotation.standbyKeys to 1, or accept it: kubectl -n NS edit sks NAME",
	v1alpha1.ReasonStandbyPending:      "wait: the standby key is being published; kubectl keyturn keys NAME -n NS shows how far it is",
	v1alpha1.ReasonRotationOverdue:     "look at what the message names; tokens go on being signed and verified meanwhile",
	v1alpha1.ReasonClockSkewed:         "mend the clock (NTP) of the node of the replica that the message names: kubectl -n NS get pods -o wide",
	v1alpha1.ReasonKeyMaterialLost:     "restore the named Secret from a backup, or let a new key take over: kubectl keyturn rotate NAME -n NS --wait",
	v1alpha1.ReasonKeySecretInvalid:    "a key Secret was edited or swapped: restore it from a backup, or let a new key take over: kubectl keyturn rotate NAME -n NS --wait",
	v1alpha1.ReasonRingRestored:        "nothing more for the keys: they recover by themselves; check what else the backup has brought back",
	v1alpha1.ReasonRingInvalid:         "restore the Secret NAME-ring from a backup",
	v1alpha1.ReasonInvalidSpec:         "mend the field that the message names: kubectl -n NS edit KIND NAME",
	v1alpha1.ReasonRefNotFound:         "create the object that the message names, or refer to another one: kubectl -n NS edit tsvc NAME",
	v1alpha1.ReasonPolicyNotFound:      "create the named TokenPolicy, or refer to another one: kubectl -n NS get tpol",
	v1alpha1.ReasonKeySetNotFound:      "create the named SigningKeySet, or refer to another one: kubectl -n NS get sks",
	v1alpha1.ReasonKeySetNotReady:      "look at the named SigningKeySet: kubectl keyturn keys -n NS",
	v1alpha1.ReasonSecretInvalid:       "mend the named Secret; lists of users show their bad lines with: kubectl keyturn user list -n NS",
	v1alpha1.ReasonSnapshotFull:        "the configuration is too large for one document: make it smaller; the last good one stays in force",
	v1alpha1.ReasonSnapshotRefused:     "a replica refused a document and goes on with the last good one; its log says why: kubectl -n NS logs POD",
	v1alpha1.ReasonForeignObject:       "an object of that name was not made by Keyturn: rename or delete the one that the message names",
	v1alpha1.ReasonInUse:               "the set is being deleted and still in use: delete the TokenServices that refer to it first: kubectl -n NS get tsvc",
	v1alpha1.ReasonWorkloadUnavailable: "see why its pods do not start: kubectl -n NS get pods -l keyturn.dev/token-service=NAME; kubectl -n NS describe pod POD",
}

func advice(reason, kind, namespace, name string) string {
	return strings.NewReplacer("NS", namespace, "NAME", name, "KIND", strings.ToLower(kind)).Replace(advices[reason])
}
