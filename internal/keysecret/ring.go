package keysecret

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/token"
)

// ringKey is the data key of the ring, ringFormat its name and version.
const (
	ringKey    = "ring.json"
	ringFormat = "keyturn.dev/ring/v1"
	maxBytes   = 512 << 10
)

type ringWire struct {
	Format        string          `json:"format"`
	Set           string          `json:"set"`
	Epoch         int64           `json:"epoch"`
	Revision      int64           `json:"revision"`
	NextSequence  int64           `json:"nextSequence"`
	RotateHandled string          `json:"rotateHandled,omitempty"`
	Keys          []keyWire       `json:"keys"`
	Tombstones    []tombstoneWire `json:"tombstones,omitempty"`
	// Taken, and Brought of a key, are absent where no key was ever brought: a manager from before reads such a ring.
	Taken []string `json:"taken,omitempty"`
}

type keyWire struct {
	KID         string          `json:"kid"`
	Algorithm   string          `json:"alg"`
	Bits        int             `json:"bits,omitempty"`
	Brought     bool            `json:"brought,omitempty"`
	Sequence    int64           `json:"sequence"`
	State       string          `json:"state"`
	PublicJWK   json.RawMessage `json:"jwk"`
	Created     time.Time       `json:"created"`
	Published   time.Time       `json:"published,omitzero"`
	Activated   time.Time       `json:"activated,omitzero"`
	Retiring    time.Time       `json:"retiring,omitzero"`
	VerifyUntil time.Time       `json:"verifyUntil,omitzero"`
	MaxTTL      string          `json:"maxTTL,omitempty"`
}

type tombstoneWire struct {
	KID      string    `json:"kid"`
	Sequence int64     `json:"sequence"`
	State    string    `json:"state"`
	Time     time.Time `json:"time"`
}

// EncodeRing writes a ring as its Secret.
func EncodeRing(owner Owner, ring *keys.Ring) (*corev1.Secret, error) {
	if err := ring.Validate(); err != nil {
		return nil, err
	}
	wire := ringWire{
		Format: ringFormat, Set: owner.String(), Epoch: ring.Epoch, Revision: ring.Revision,
		NextSequence: ring.NextSequence, RotateHandled: ring.RotateHandled, Keys: []keyWire{}, Taken: ring.Taken,
	}
	for _, k := range ring.Keys {
		w := keyWire{
			KID: k.KID, Algorithm: string(k.Algorithm), Bits: k.Bits, Brought: k.Brought, Sequence: k.Sequence, State: string(k.State), PublicJWK: k.PublicJWK,
			Created: k.Created, Published: k.Published, Activated: k.Activated, Retiring: k.Retiring, VerifyUntil: k.VerifyUntil,
		}
		if k.MaxTTL > 0 {
			w.MaxTTL = k.MaxTTL.String()
		}
		wire.Keys = append(wire.Keys, w)
	}
	for _, t := range ring.Tombstones {
		wire.Tombstones = append(wire.Tombstones, tombstoneWire{KID: t.KID, Sequence: t.Sequence, State: string(t.State), Time: t.Time})
	}
	raw, err := json.MarshalIndent(wire, "", " ")
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{ObjectMeta: meta(owner, RingName(owner.Name)), Type: RingType, Data: map[string][]byte{ringKey: raw}}, nil
}

// DecodeRing reads a ring from its Secret and checks all of it: the set, each kid against its key, the ring's own rules.
// The error is a [*RefusedError].
func DecodeRing(secret *corev1.Secret, owner Owner) (keys.Ring, error) {
	if secret.Type != RingType || secret.Name != RingName(owner.Name) || secret.Namespace != owner.Namespace {
		return keys.Ring{}, refuse(ReasonForeign, "it is no ring of this set: its name or its type %q is another", secret.Type)
	}
	var wire ringWire
	if err := strict(secret.Data[ringKey], &wire); err != nil {
		return keys.Ring{}, refuse(ReasonUndecodable, "the key %s is not a ring: %v", ringKey, err)
	}
	if wire.Format != ringFormat {
		return keys.Ring{}, refuse(ReasonUndecodable, "the ring has another format than %q", ringFormat)
	}
	if wire.Set != owner.String() {
		return keys.Ring{}, refuse(ReasonForeign, "the ring belongs to another set than %s", owner)
	}
	ring := keys.Ring{Epoch: wire.Epoch, Revision: wire.Revision, NextSequence: wire.NextSequence, RotateHandled: wire.RotateHandled, Taken: wire.Taken}
	for i := range wire.Keys {
		key, err := wire.Keys[i].key()
		if err != nil {
			return keys.Ring{}, err
		}
		ring.Keys = append(ring.Keys, key)
	}
	for _, t := range wire.Tombstones {
		ring.Tombstones = append(ring.Tombstones, keys.Tombstone{KID: t.KID, Sequence: t.Sequence, State: keys.State(t.State), Time: t.Time})
	}
	if err := ring.Validate(); err != nil {
		return keys.Ring{}, refuse(ReasonInvalid, "the ring contradicts itself: %v", err)
	}
	return ring, nil
}

func (w *keyWire) key() (keys.Key, error) {
	public, err := token.ParsePublic(w.PublicJWK)
	if err != nil {
		return keys.Key{}, refuse(ReasonInvalid, "key number %d of the ring is no usable public key", w.Sequence)
	}
	if public.KID() != w.KID || string(public.Algorithm()) != w.Algorithm || public.Bits() != w.Bits {
		return keys.Key{}, refuse(ReasonInvalid, "key number %d of the ring is not the key that its kid, algorithm and size name", w.Sequence)
	}
	var ttl time.Duration
	if w.MaxTTL != "" {
		if ttl, err = time.ParseDuration(w.MaxTTL); err != nil || ttl < 0 {
			return keys.Key{}, refuse(ReasonUndecodable, "key number %d of the ring has no good maxTTL", w.Sequence)
		}
	}
	return keys.Key{
		KID: w.KID, Algorithm: keys.Algorithm(w.Algorithm), Bits: w.Bits, Brought: w.Brought, Sequence: w.Sequence, State: keys.State(w.State),
		PublicJWK: bytes.Clone(public.JWK()), Created: w.Created, Published: w.Published, Activated: w.Activated,
		Retiring: w.Retiring, VerifyUntil: w.VerifyUntil, MaxTTL: ttl,
	}, nil
}

// Digest identifies the content of a ring Secret: another digest is another ring.
func Digest(secret *corev1.Secret) string {
	sum := sha256.Sum256(secret.Data[ringKey])
	return hex.EncodeToString(sum[:])
}

// strict decodes bounded JSON with known members only. Its errors quote nothing.
func strict(raw []byte, into any) error {
	switch {
	case len(raw) == 0:
		return errors.New("it is empty")
	case len(raw) > maxBytes:
		return errors.New("it is too large")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return errors.New("it is not JSON of this format")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}
