package controllers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// base is what the reconcilers share: the cached client, the live reader, and the replicas' status.
type base struct {
	client    client.Client
	live      client.Reader
	scheme    *runtime.Scheme
	recorder  events.EventRecorder
	status    StatusReader
	now       func() time.Time
	image     string
	namespace string
	steady    time.Duration
	room      int // for revocations in a document

	silences silences         // of the replicas
	sources  keysecret.Source // of the keys that are brought
	applied  appliedObjects
	views    accessViews
	// revocations is what the TokenServices' controller has seen of them.
	revocations revocationViews
}

// errForeign means that an object of that name exists and is not ours: nothing is overwritten.
type errForeign struct{ kind, name string }

func (e *errForeign) Error() string {
	return fmt.Sprintf("%s %s exists and was not made by Keyturn for this object: rename or delete it", e.kind, e.name)
}

// ownedSecret reads a Secret live. It returns nil if there is none, and errForeign if it is not owned by tsvc.
func (b *base) ownedSecret(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := b.live.Get(ctx, types.NamespacedName{Namespace: tsvc.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !metav1.IsControlledBy(&secret, tsvc) {
		return nil, &errForeign{"Secret", name}
	}
	return &secret, nil
}

// writeOwnedSecret brings a Secret to this content: it creates it or, with current just read live, replaces what
// differs; a conflict is an error. One that was made immutable is made anew.
func (b *base) writeOwnedSecret(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, current *corev1.Secret, name string, data map[string][]byte) (*corev1.Secret, error) {
	component := keyturnv1alpha1.ComponentTokenService
	if names := namesOf(tsvc); name == names.edgeSnapshot || name == names.feedClient {
		component = keyturnv1alpha1.ComponentEdge
	}
	immutable := current != nil && deref(current.Immutable, false)
	if immutable {
		uid := client.Preconditions{UID: &current.UID}
		if err := b.client.Delete(ctx, current, uid); client.IgnoreNotFound(err) != nil {
			return nil, err
		}
	}
	if current == nil || immutable {
		secret := &corev1.Secret{ObjectMeta: ownedMeta(tsvc, name, component), Type: corev1.SecretTypeOpaque, Data: data}
		if err := controllerutil.SetControllerReference(tsvc, secret, b.scheme); err != nil {
			return nil, err
		}
		return secret, b.client.Create(ctx, secret, client.FieldOwner(keyturnv1alpha1.ManagerName))
	}
	secret := current.DeepCopy()
	secret.Data = data
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	maps.Copy(secret.Labels, objectLabels(tsvc, component))
	if equalData(secret.Data, current.Data) && maps.Equal(secret.Labels, current.Labels) {
		return current, nil
	}
	return secret, b.client.Update(ctx, secret, client.FieldOwner(keyturnv1alpha1.ManagerName))
}

func equalData(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

// appliedObjects remembers what was applied last, so that an object that nobody touched costs no API call.
type appliedObjects struct {
	mu   sync.Mutex
	seen map[string]appliedObject
}

type appliedObject struct {
	desired         [sha256.Size]byte
	resourceVersion string
}

// apply brings an object to the desired state by server-side apply, owned by owner. It does nothing when the object is
// as it was left and the desired state is the same. It returns the object as the cache or the server has it.
func (b *base) apply(ctx context.Context, owner client.Object, desired client.Object) error {
	gvk, err := apiutil.GVKForObject(desired, b.scheme)
	if err != nil {
		return err
	}
	if err := controllerutil.SetControllerReference(owner, desired, b.scheme); err != nil {
		return err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(desired)
	if err != nil {
		return err
	}
	intent := &unstructured.Unstructured{Object: content}
	intent.SetGroupVersionKind(gvk)
	pruneServerFields(intent.Object)
	raw, err := json.Marshal(intent.Object)
	if err != nil {
		return err
	}
	key := gvk.Kind + " " + desired.GetNamespace() + "/" + desired.GetName()
	current, err := b.current(ctx, desired, owner, gvk.Kind)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(raw)
	if current != nil && b.applied.unchanged(key, appliedObject{hash, current.GetResourceVersion()}) {
		return nil
	}
	err = b.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(intent), client.FieldOwner(keyturnv1alpha1.ManagerName), client.ForceOwnership)
	if apierrors.IsInvalid(err) {
		// Entries that somebody put into a list contradict ours: a merge patch replaces the whole list.
		err = b.client.Patch(ctx, intent, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(keyturnv1alpha1.ManagerName))
	}
	if err != nil {
		return fmt.Errorf("apply %s: %w", key, err)
	}
	b.applied.remember(key, appliedObject{hash, intent.GetResourceVersion()})
	return nil
}

// current returns the object as the cache has it, nil if there is none, and errForeign if it is not owner's.
func (b *base) current(ctx context.Context, desired, owner client.Object, kind string) (client.Object, error) {
	found, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return nil, errors.New("not an API object")
	}
	err := b.client.Get(ctx, client.ObjectKeyFromObject(desired), found)
	if err == nil && metav1.IsControlledBy(found, owner) {
		return found, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	// The cache holds what carries our label only: look whether the name is taken by somebody else's object.
	live := desired.DeepCopyObject().(client.Object) //nolint:errcheck // checked above
	err = b.live.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err == nil && !metav1.IsControlledBy(live, owner) {
		return nil, &errForeign{kind, desired.GetName()}
	}
	return nil, err
}

// pruneServerFields removes what a typed object carries and an apply must not claim.
func pruneServerFields(object map[string]any) {
	delete(object, "status")
	unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(object, "spec", "template", "metadata", "creationTimestamp")
	if claims, found, _ := unstructured.NestedSlice(object, "spec", "volumeClaimTemplates"); found {
		for _, claim := range claims {
			if c, ok := claim.(map[string]any); ok {
				delete(c, "status")
				unstructured.RemoveNestedField(c, "metadata", "creationTimestamp")
			}
		}
		_ = unstructured.SetNestedSlice(object, claims, "spec", "volumeClaimTemplates")
	}
}

func (a *appliedObjects) unchanged(key string, now appliedObject) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[key] == now
}

func (a *appliedObjects) remember(key string, now appliedObject) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[string]appliedObject{}
	}
	a.seen[key] = now
}
