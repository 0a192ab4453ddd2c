package keysecret

import (
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/token"
)

// jwksKey is the data key of the public ConfigMap, revisionAnnotation says which revision of the ring it shows.
const (
	jwksKey            = "jwks.json"
	revisionAnnotation = "keyturn.dev/jwks-revision"
)

// EncodeJWKS writes the public keys of a ring as a ConfigMap with one JWK Set (RFC 7517, section 5).
func EncodeJWKS(owner Owner, ring *keys.Ring) (*corev1.ConfigMap, error) {
	var public []*token.PublicKey
	for _, k := range ring.Publishable() {
		key, err := token.ParsePublic(k.PublicJWK)
		if err != nil {
			return nil, fmt.Errorf("key number %d: %w", k.Sequence, err)
		}
		public = append(public, key)
	}
	m := meta(owner, JWKSName(owner.Name))
	m.Annotations = map[string]string{revisionAnnotation: strconv.FormatInt(ring.Revision, 10)}
	return &corev1.ConfigMap{ObjectMeta: m, Data: map[string]string{jwksKey: string(token.JWKS(public))}}, nil
}

// SameJWKS tells whether a ConfigMap is as it should be.
func SameJWKS(current, desired *corev1.ConfigMap) bool {
	for k, v := range desired.Labels {
		if current.Labels[k] != v {
			return false
		}
	}
	return maps.Equal(current.Data, desired.Data) && len(current.BinaryData) == 0 &&
		current.Annotations[revisionAnnotation] == desired.Annotations[revisionAnnotation]
}
