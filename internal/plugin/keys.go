package plugin

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// KeysOptions are the flags of `keys`.
type KeysOptions struct {
	// Set is the name of one SigningKeySet; empty: all of the namespace.
	Set string
	// Live reads the ring Secret instead of the status.
	Live bool
	// Watch goes on until the context ends.
	Watch bool
}

// KeysReport is what `keys` prints for machines.
type KeysReport struct {
	Sets []SetReport `json:"sets"`
}

// Keys prints the keys of sets.
func (s *Session) Keys(ctx context.Context, o KeysOptions) error {
	return s.show(ctx, o.Watch, func() (any, func() string, error) {
		report, err := s.keysReport(ctx, o)
		return report, func() string {
			if len(report.Sets) == 0 {
				return "No SigningKeySet " + s.where() + ".\n"
			}
			return drawSets(s.Screen, report.Sets, s.Format == Wide, s.Now())
		}, err
	})
}

func (s *Session) keysReport(ctx context.Context, o KeysOptions) (KeysReport, error) {
	report := KeysReport{Sets: []SetReport{}}
	var sets v1alpha1.SigningKeySetList
	if o.Set == "" {
		if err := s.Client.List(ctx, &sets, client.InNamespace(s.Namespace)); err != nil {
			return report, err
		}
	} else {
		set, err := s.set(ctx, o.Set)
		if err != nil {
			return report, err
		}
		sets.Items = append(sets.Items, *set)
	}
	for i := range sets.Items {
		set := NewSetReport(&sets.Items[i])
		if o.Live {
			var err error
			if set, err = s.live(ctx, set); err != nil {
				return report, err
			}
		}
		report.Sets = append(report.Sets, set)
	}
	return report, nil
}

// live reads the ring of a set.
func (s *Session) live(ctx context.Context, set SetReport) (SetReport, error) {
	owner := keysecret.Owner{Namespace: set.Namespace, Name: set.Name}
	var stored corev1.Secret
	name := keysecret.RingName(set.Name)
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: set.Namespace, Name: name}, &stored); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return set, &Trouble{
				What: fmt.Sprintf("there is no ring: the Secret %s/%s does not exist", set.Namespace, name),
				Mend: "the manager makes it with the first key, and rebuilds it when it was deleted: " + managerAdvice, Cause: err,
			}
		}
		return set, err
	}
	ring, err := keysecret.DecodeRing(&stored, owner)
	if err != nil {
		return set, &Trouble{
			What: fmt.Sprintf("the ring in Secret %s/%s is refused: %v", set.Namespace, name, err),
			Mend: "leave it to the manager, which rebuilds it, or restore it from a backup; without --live the last good status is shown", Cause: err,
		}
	}
	return set.withRing(&ring), nil
}

// set gets a SigningKeySet; its error names those that exist.
func (s *Session) set(ctx context.Context, name string) (*v1alpha1.SigningKeySet, error) {
	var set v1alpha1.SigningKeySet
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &set)
	if err == nil {
		return &set, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	var others v1alpha1.SigningKeySetList
	if err := s.Client.List(ctx, &others, client.InNamespace(s.Namespace)); err != nil {
		return nil, err
	}
	var names []string
	for i := range others.Items {
		names = append(names, others.Items[i].Name)
	}
	return nil, s.missing("SigningKeySet", name, names, err)
}

// SetNames lists the names of sets, for completion.
func (s *Session) SetNames(ctx context.Context) []string {
	report, err := s.keysReport(ctx, KeysOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for i := range report.Sets {
		names = append(names, report.Sets[i].Name)
	}
	return names
}

func (s *Session) where() string {
	if s.Namespace == "" {
		return "in any namespace"
	}
	return "in namespace " + s.Namespace
}
