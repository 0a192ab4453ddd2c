package keysecret

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/token"
)

// The data keys of a private key's Secret.
const (
	privateKey = "private.jwk"
	bindingKey = "binding.json"
	keyFormat  = "keyturn.dev/signing-key/v1"
)

// binding says inside the Secret what the key is and whose.
type binding struct {
	Format    string `json:"format"`
	Set       string `json:"set"`
	Sequence  int64  `json:"sequence"`
	KID       string `json:"kid"`
	Algorithm string `json:"alg"`
	// Brought tells that the key was taken from its owner's Secret. Absent where it was not: an older manager knows nothing of it.
	Brought bool `json:"brought,omitempty"`
}

// EncodeKey writes a private key that was made for the set as its immutable Secret.
func EncodeKey(owner Owner, sequence int64, private *token.PrivateKey) (*corev1.Secret, error) {
	return encodeKey(owner, sequence, private, false)
}

// EncodeBrought writes one that its owner brought.
func EncodeBrought(owner Owner, sequence int64, private *token.PrivateKey) (*corev1.Secret, error) {
	return encodeKey(owner, sequence, private, true)
}

func encodeKey(owner Owner, sequence int64, private *token.PrivateKey, brought bool) (*corev1.Secret, error) {
	bound, err := json.Marshal(binding{keyFormat, owner.String(), sequence, private.KID(), string(private.Algorithm()), brought})
	if err != nil {
		return nil, err
	}
	immutable := true
	return &corev1.Secret{
		ObjectMeta: meta(owner, KeyName(owner.Name, sequence)), Type: KeyType, Immutable: &immutable,
		Data: map[string][]byte{privateKey: private.JWK().Reveal(), bindingKey: bound},
	}, nil
}

// DecodeKey reads a private key from its Secret and checks that it is the one that the name and the binding say. It
// returns the key and its public half as the planner knows it. The error is a [*RefusedError].
func DecodeKey(from *corev1.Secret, owner Owner, sequence int64) (*token.PrivateKey, keys.Key, error) {
	if from.Type != KeyType || from.Name != KeyName(owner.Name, sequence) || from.Namespace != owner.Namespace {
		return nil, keys.Key{}, refuse(ReasonForeign, "it is no key of this set: its name or its type %q is another", from.Type)
	}
	var bound binding
	if err := strict(from.Data[bindingKey], &bound); err != nil {
		return nil, keys.Key{}, refuse(ReasonUndecodable, "the key %s says nothing usable: %v", bindingKey, err)
	}
	if bound.Format != keyFormat {
		return nil, keys.Key{}, refuse(ReasonUndecodable, "it has another format than %q", keyFormat)
	}
	if bound.Set != owner.String() || bound.Sequence != sequence {
		return nil, keys.Key{}, refuse(ReasonForeign, "it was made for another set or another number than %s number %d", owner, sequence)
	}
	private, err := token.ParsePrivate(secret.New(from.Data[privateKey]).Reveal())
	if err != nil {
		return nil, keys.Key{}, refuse(ReasonInvalid, "the key %s holds no usable private key: %v", privateKey, err)
	}
	if private.KID() != bound.KID || string(private.Algorithm()) != bound.Algorithm {
		return nil, keys.Key{}, refuse(ReasonInvalid, "the private key is not the one that was made")
	}
	return private, keys.Key{
		KID: private.KID(), Algorithm: keys.Algorithm(private.Algorithm()), Bits: private.Public().Bits(), Brought: bound.Brought,
		Sequence: sequence, PublicJWK: private.Public().JWK(),
	}, nil
}
