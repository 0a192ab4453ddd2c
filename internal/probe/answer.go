package probe

import (
	"crypto/hmac"
	"strings"
)

// Stance is what the edge would do with the requests that a probe expects to be refused.
type Stance string

const (
	// Refuses means: both a worthless token and no credential at all.
	Refuses Stance = "refuses"
	// Anonymous means: a rule lets requests without a credential through.
	Anonymous Stance = "anonymous"
	// Open means: a rule lets them through, and the policy does not look for tokens in Authorization.
	Open Stance = "open"
	// Audits means: the policy's mode is Audit, it lets everything through.
	Audits Stance = "audits"
)

const parameter = `keyturn-probe="`

// Answer is the parameter of WWW-Authenticate by which an edge answers a probe.
func (k Key) Answer(nonce, policy string, stance Stance) string {
	return parameter + nonce + " " + policy + " " + string(stance) + " " + k.mac(forAnswer, policy, nonce, string(stance)) + `"`
}

// Proven looks for the answer of an edge to the probe of this nonce and policy. It believes nothing but that.
func (k Key) Proven(challenges []string, nonce, policy string) (Stance, bool) {
	if k.key.Empty() {
		return "", false
	}
	for _, challenge := range challenges {
		_, rest, found := strings.Cut(challenge, parameter)
		value, _, closed := strings.Cut(rest, `"`)
		words := strings.Split(value, " ")
		if !found || !closed || len(words) != 4 || words[0] != nonce || words[1] != policy {
			continue
		}
		stance := Stance(words[2])
		if hmac.Equal([]byte(words[3]), []byte(k.mac(forAnswer, policy, nonce, words[2]))) {
			return stance, true
		}
	}
	return "", false
}
