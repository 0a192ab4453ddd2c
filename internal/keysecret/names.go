package keysecret

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// The types of the two kinds of Secrets.
const (
	RingType corev1.SecretType = "keyturn.dev/ring"
	KeyType  corev1.SecretType = "keyturn.dev/signing-key"
)

// Owner is the set that an object belongs to. Its UID is not part of it: a set re-created under the same name adopts
// what its predecessor left.
type Owner struct{ Namespace, Name string }

func (o Owner) String() string { return o.Namespace + "/" + o.Name }

// RingName is the name of a set's ring Secret.
func RingName(set string) string { return set + "-ring" }

// JWKSName is the name of a set's public ConfigMap.
func JWKSName(set string) string { return set + "-jwks" }

// KeyName is the name of the Secret of one private key.
func KeyName(set string, sequence int64) string { return fmt.Sprintf("%s-%d", set, sequence) }

// Sequence reads the sequence from the name of a private key's Secret; false if it is no such name.
func Sequence(set, name string) (int64, bool) {
	digits, ok := strings.CutPrefix(name, set+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == digits
}

func meta(owner Owner, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: owner.Namespace, Name: name, Labels: map[string]string{
		keyturnv1alpha1.LabelName:          keyturnv1alpha1.NameKeyturn,
		keyturnv1alpha1.LabelPartOf:        keyturnv1alpha1.NameKeyturn,
		keyturnv1alpha1.LabelInstance:      owner.Name,
		keyturnv1alpha1.LabelComponent:     keyturnv1alpha1.ComponentKeys,
		keyturnv1alpha1.LabelManagedBy:     keyturnv1alpha1.ManagerName,
		keyturnv1alpha1.LabelSigningKeySet: owner.Name,
	}}
}
