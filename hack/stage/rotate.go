package stage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// FastRotation is a patch of a SigningKeySet that makes every wait of a rotation short: a key is published for 4
// seconds, not for a day, before it signs. It is for people who watch.
const FastRotation = `{"spec":{"clockSkew":"1s","jwks":{"maxAge":"1s"},"rotation":{"interval":"1h","prePublish":"4s","slowestVerifier":"1s"}}}`

// KeySet reads the set of the samples.
func (s *Stage) KeySet(ctx context.Context) (*keyturnv1alpha1.SigningKeySet, error) {
	var set keyturnv1alpha1.SigningKeySet
	err := s.Client.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: KeySet}, &set)
	return &set, err
}

// Rotate asks for a rotation, as a person would, and waits until another key signs and every replica has loaded it.
func (s *Stage) Rotate(ctx context.Context) (from, to string, err error) {
	before, err := s.KeySet(ctx)
	if err != nil {
		return "", "", err
	}
	from = before.Status.ActiveKid
	request := keyturnv1alpha1.AnnotationRotateRequestedAt + "=" + time.Now().UTC().Format(time.RFC3339Nano)
	if _, err := s.Kubectl(ctx, "annotate", "-n", Namespace, "sks", KeySet, "--overwrite", request); err != nil {
		return from, "", err
	}
	err = s.Await(ctx, 3*time.Minute, func(ctx context.Context) (string, error) {
		set, err := s.KeySet(ctx)
		if err != nil {
			return "", err
		}
		to = set.Status.ActiveKid
		if to == from {
			return "key " + set.Status.Active + " still signs; next: " + set.Status.Next, nil
		}
		var service keyturnv1alpha1.TokenService
		if err := s.Client.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: Service}, &service); err != nil {
			return "", err
		}
		loaded := meta.FindStatusCondition(service.Status.Conditions, keyturnv1alpha1.ConditionKeysLoaded)
		have, all, _ := strings.Cut(set.Status.Propagation.Replicas, "/")
		if service.Status.ActiveKid != to || loaded == nil || loaded.Status != metav1.ConditionTrue || have != all {
			return fmt.Sprintf("key %s: %s of the set, %s token services, %s edges", set.Status.Active, set.Status.Propagation.Replicas, service.Status.Replicas, service.Status.Edge), nil
		}
		return "", nil
	})
	return from, to, err
}

// Await asks probe every tenth of a second until it returns an empty reason to wait.
func (s *Stage) Await(ctx context.Context, limit time.Duration, probe func(context.Context) (waitingFor string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		why, err := probe(ctx)
		switch {
		case err == nil && why == "":
			return nil
		case why != "":
			last = why
		case ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s still: %s (%w)", limit, last, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
