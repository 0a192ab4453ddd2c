package v1alpha1_test

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// ofKey, ofUser, ofSession and ofAll are revocations of something else than the good one, which is of a user.
func ofKey(set, kid string) string {
	return fmt.Sprintf(`{user: null, key: {signingKeySetRef: {name: %q}, kid: %q}}`, set, kid)
}

func ofUser(subject string) string { return fmt.Sprintf(`{user: {subject: %q}}`, subject) }

func ofSession(id string) string {
	return fmt.Sprintf(`{user: null, session: {tokenServiceRef: {name: web}, id: %q}}`, id)
}

const (
	ofAll        = `{user: null, all: {tokenServiceRef: {name: web}}}`
	goodSession  = "3k9z.AAAAAAAAAAAAAAAAAAAAAA"
	hintOneThing = "set one of key, user, session and all"
	hintKid      = "kid must be the whole kid of a key"
	hintSubject  = "subject must be the sub of the user's tokens"
	hintSession  = "id must be the sid of an access token"
	hintForever  = "what is revoked stays revoked"
)

var revocationAccepted = map[string]string{
	"a user":               `{}`,
	"a user with accents":  ofUser("staff:zoë"),
	"a user with a space":  ofUser("guest:ann lee"),
	"the longest user":     ofUser(strings.Repeat("a", 512)),
	"a key":                ofKey("main", kid),
	"a session":            ofSession(goodSession),
	"the first session":    ofSession("0.AAAAAAAAAAAAAAAAAAAAAA"),
	"the last session":     ofSession("3w5e11264sgsf.AAAAAAAAAAAAAAAAAAAAAA"),
	"all":                  ofAll,
	"the longest reason":   `{reason: "` + strings.Repeat("r", 256) + `"}`,
	"a reason of any kind": `{reason: "Ticket #4711: laptop gone, see https://tickets.example.com/4711"}`,
}

var revocationRefusals = []refusal{
	{"nothing", `{user: null}`, hintOneThing},
	{"two things", `{all: {tokenServiceRef: {name: web}}}`, hintOneThing},
	{"everything", `{all: {tokenServiceRef: {name: web}}, key: {signingKeySetRef: {name: main}, kid: ` + kid + `}, session: {tokenServiceRef: {name: web}, id: ` + goodSession + `}}`, hintOneThing},
	{"no reason", `{reason: null}`, "spec.reason: Required value"},
	{"an empty reason", `{reason: ""}`, "spec.reason"},
	{"a blank reason", `{reason: "  "}`, "reason must say why"},
	{"too long a reason", `{reason: "` + strings.Repeat("r", 257) + `"}`, "may not be more than 256"},
	{"no user", `{user: {subject: ""}}`, "spec.user.subject"},
	{"a user with space at the end", ofUser("staff:alice "), hintSubject},
	{"a user with a control character", ofUser("staff:\u0007alice"), hintSubject},
	{"too long a user", ofUser(strings.Repeat("a", 513)), "may not be more than 512"},
	{"a user of nobody", `{user: {tokenServiceRef: {name: ""}}}`, "tokenServiceRef.name"},
	{"a service that cannot be", `{user: {tokenServiceRef: {name: Web}}}`, "name must be the name of an object"},
	{"a service elsewhere", `{user: {tokenServiceRef: {name: other/web}}}`, "name must be the name of an object"},
	{"a part of a kid", ofKey("main", "b41e02aa"), "spec.key.kid"},
	{"too long a kid", ofKey("main", kid+"A"), "may not be more than 43"},
	{"a kid in other characters", ofKey("main", kid[:42]+"/"), hintKid},
	{"a set that cannot be", ofKey("Main", kid), "name must be the name of an object"},
	{"a session without a number", ofSession(".AAAAAAAAAAAAAAAAAAAAAAAA"), hintSession},
	{"a session with a leading zero", ofSession("01.AAAAAAAAAAAAAAAAAAAAAA"), hintSession},
	{"a session in capitals", ofSession("3K9Z.AAAAAAAAAAAAAAAAAAAAAA"), hintSession},
	{"a session cut short", ofSession("3k9z.AAAAAAAAAAAAAAAAAAAAA"), hintSession},
	{"a session of two spellings", ofSession("3k9z.AAAAAAAAAAAAAAAAAAAAAB"), hintSession},
	{"a token for a session", ofSession(strings.Repeat("eyJ", 17)), "may not be more than 48"},
}

// revocationObject is one as a Go client makes it.
func revocationObject(meta metav1.ObjectMeta) *v1alpha1.Revocation {
	return &v1alpha1.Revocation{ObjectMeta: meta, Spec: v1alpha1.RevocationSpec{
		User: &v1alpha1.UserRevocation{TokenServiceRef: v1alpha1.TokenServiceReference{Name: "web"}, Subject: "staff:alice"}, Reason: "laptop gone",
	}}
}

// revocationStatus has every field.
func revocationStatus() v1alpha1.RevocationStatus {
	return v1alpha1.RevocationStatus{
		ObservedGeneration: 1, Kind: v1alpha1.RevocationUser, What: "staff:alice", Number: 1_900_000_000 << 20,
		RecordedTime: ago(0), EnforcedTime: ago(72 * time.Hour),
		Exposure:   v1alpha1.RevocationExposure{Until: ago(-time.Hour), Replicas: "2/3", WaitingFor: []string{"web-extauthz-1"}},
		Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, "False"), condition(v1alpha1.ConditionEnforced, "False")},
	}
}
