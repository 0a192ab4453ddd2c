package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// RevokeOptions are the arguments and flags of `revoke`.
type RevokeOptions struct {
	// Kind is one of [RevokeKinds].
	Kind string
	// Name is that of the SigningKeySet for a key, else of the TokenService.
	Name string
	// What is the kid or its beginning, the user, or the session; empty for all.
	What string
	// Reason says why, for those who ask later.
	Reason string
	// Wait until every edge refuses it, Timeout at most (0: no limit).
	Wait    bool
	Timeout time.Duration
}

// RevokeKinds are what can be revoked.
var RevokeKinds = []string{"key", "user", "session", "all"}

// revokeEvery is how often --wait looks: somebody is waiting.
const revokeEvery = 250 * time.Millisecond

// minKidPrefix is how much of a kid must be said.
const minKidPrefix = 6

// Revoke makes a Revocation, and with Wait follows it.
func (s *Session) Revoke(ctx context.Context, o RevokeOptions) error {
	if strings.TrimSpace(o.Reason) == "" {
		return &Trouble{What: "why?", Mend: `say it with --reason, for those who ask later: --reason "laptop stolen, ticket 4711"`}
	}
	rev, err := s.revocation(ctx, o)
	if err != nil {
		return err
	}
	if err := s.createRevocation(ctx, rev); err != nil {
		return err
	}
	s.note("Revocation %s/%s: %s", rev.Namespace, rev.Name, clean(revokedInWords(rev)))
	if !o.Wait {
		s.note("follow it with: kubectl -n %s get rev %s --watch", rev.Namespace, rev.Name)
		return nil
	}
	return s.followRevocation(ctx, o, rev.Name)
}

// revocation is the object, not created yet. What it names must exist: a slip of the pen must not look like an answer.
func (s *Session) revocation(ctx context.Context, o RevokeOptions) (*v1alpha1.Revocation, error) {
	rev := &v1alpha1.Revocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: o.Kind + s.Now().UTC().Format("-20060102-150405")},
		Spec:       v1alpha1.RevocationSpec{Reason: o.Reason},
	}
	if o.Kind == "key" {
		set, err := s.set(ctx, o.Name)
		if err != nil {
			return nil, err
		}
		kid, err := kidOf(set, o.What)
		rev.Spec.Key = &v1alpha1.KeyRevocation{SigningKeySetRef: v1alpha1.SigningKeySetReference{Name: set.Name}, Kid: kid}
		return rev, err
	}
	if err := s.service(ctx, o.Name); err != nil {
		return nil, err
	}
	at := v1alpha1.TokenServiceReference{Name: o.Name}
	switch o.Kind {
	case "user":
		rev.Spec.User = &v1alpha1.UserRevocation{TokenServiceRef: at, Subject: o.What}
	case "session":
		rev.Spec.Session = &v1alpha1.SessionRevocation{TokenServiceRef: at, ID: o.What}
	case "all":
		rev.Spec.All = &v1alpha1.AllRevocation{TokenServiceRef: at}
	default:
		return nil, errors.New("what is to be revoked: " + strings.Join(RevokeKinds, ", "))
	}
	return rev, nil
}

// service looks whether a TokenService exists; its error names those that do.
func (s *Session) service(ctx context.Context, name string) error {
	var tsvc v1alpha1.TokenService
	missing := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &tsvc)
	if missing == nil || client.IgnoreNotFound(missing) != nil {
		return missing
	}
	names, err := s.serviceNames(ctx)
	if err != nil {
		return err
	}
	return s.missing("TokenService", name, names, missing)
}

func (s *Session) serviceNames(ctx context.Context) ([]string, error) {
	var all v1alpha1.TokenServiceList
	if err := s.Client.List(ctx, &all, client.InNamespace(s.Namespace)); err != nil {
		return nil, err
	}
	var names []string
	for i := range all.Items {
		names = append(names, all.Items[i].Name)
	}
	return names, nil
}

// ServiceNames lists the names of token services, for completion.
func (s *Session) ServiceNames(ctx context.Context) []string {
	names, err := s.serviceNames(ctx)
	if err != nil {
		return nil
	}
	return names
}

// kidOf finds the one key of the set whose kid begins so. A whole kid is taken as it is: the status may not show it any more.
func kidOf(set *v1alpha1.SigningKeySet, prefix string) (string, error) {
	const whole = 43
	var known, found []string
	for i := range set.Status.Keys {
		kid := set.Status.Keys[i].Kid
		known = append(known, fmt.Sprintf("%s (%s)", short(kid), set.Status.Keys[i].State))
		if strings.HasPrefix(kid, prefix) {
			found = append(found, kid)
		}
	}
	trouble := &Trouble{Mend: fmt.Sprintf("SigningKeySet %s has: %s", set.Name, strings.Join(known, ", "))}
	switch {
	case len(prefix) == whole:
		return prefix, nil
	case len(prefix) < minKidPrefix:
		trouble.What = fmt.Sprintf("%q is too short for a kid: give at least %d characters of it", clean(prefix), minKidPrefix)
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		trouble.What = fmt.Sprintf("no key begins with %s", clean(prefix))
	default:
		trouble.What = fmt.Sprintf("%d keys begin with %s: give more of it", len(found), clean(prefix))
	}
	return "", trouble
}

// createRevocation creates it under a name that nobody has.
func (s *Session) createRevocation(ctx context.Context, rev *v1alpha1.Revocation) error {
	name := rev.Name
	for attempt := 2; ; attempt++ {
		err := s.Client.Create(ctx, rev)
		if !apierrors.IsAlreadyExists(err) || attempt > 20 {
			return err
		}
		rev.ResourceVersion, rev.UID = "", ""
		rev.Name = fmt.Sprintf("%s-%d", name, attempt) // the same second again is another revocation
	}
}

func revokedInWords(rev *v1alpha1.Revocation) string {
	switch spec := &rev.Spec; {
	case spec.Key != nil:
		return fmt.Sprintf("key %s of SigningKeySet %s", short(spec.Key.Kid), spec.Key.SigningKeySetRef.Name)
	case spec.User != nil:
		return fmt.Sprintf("every session that user %s has now at TokenService %s", spec.User.Subject, spec.User.TokenServiceRef.Name)
	case spec.Session != nil:
		return fmt.Sprintf("session %s at TokenService %s", spec.Session.ID, spec.Session.TokenServiceRef.Name)
	case spec.All != nil:
		return fmt.Sprintf("every session of TokenService %s: everybody has to log in again", spec.All.TokenServiceRef.Name)
	}
	return "nothing that this version knows"
}

// hopeless are the reasons for which waiting changes nothing.
var hopeless = []string{v1alpha1.ReasonKeyNotFound, v1alpha1.ReasonKeySetNotFound, v1alpha1.ReasonTokenServiceNotFound, v1alpha1.ReasonInvalidSpec}

// followRevocation prints each new step until every edge refuses it.
func (s *Session) followRevocation(ctx context.Context, o RevokeOptions, name string) error {
	start, last := s.Now(), ""
	mend := fmt.Sprintf("the revocation stands, and is carried out as soon as it can be. Look again: kubectl -n %s get rev %s; kubectl keyturn exposure -n %s", s.Namespace, name, s.Namespace)
	for {
		var rev v1alpha1.Revocation
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &rev); err != nil {
			return err
		}
		done, line := revocationProgress(&rev)
		if line != last {
			s.note("%6s  %s", span(s.Now().Sub(start)), clean(line))
			last = line
		}
		c := meta.FindStatusCondition(rev.Status.Conditions, v1alpha1.ConditionEnforced)
		switch {
		case done:
			s.note("%s", exposedInWords(&rev, s.Now()))
			return nil
		case c != nil && slices.Contains(hopeless, c.Reason):
			return &Trouble{What: "nothing is revoked: " + c.Message, Mend: fmt.Sprintf("kubectl -n %s delete rev %s", s.Namespace, name)}
		case o.Timeout > 0 && s.Now().Sub(start) >= o.Timeout:
			return &Trouble{What: fmt.Sprintf("not enforced after %s: %s", o.Timeout, line), Mend: mend}
		case !s.wait(ctx, revokeEvery):
			return &Trouble{What: "interrupted", Mend: mend, Cause: ctx.Err()}
		}
	}
}

// revocationProgress says in one line how far a revocation is.
func revocationProgress(rev *v1alpha1.Revocation) (done bool, line string) {
	c := meta.FindStatusCondition(rev.Status.Conditions, v1alpha1.ConditionEnforced)
	switch {
	case c == nil:
		return false, "asked; the manager has not answered yet"
	case c.Status == metav1.ConditionTrue:
		return true, "enforced: " + c.Message
	case rev.Status.Exposure.Replicas != "":
		return false, fmt.Sprintf("refused by %s edges: %s", rev.Status.Exposure.Replicas, c.Message)
	}
	return false, "waits: " + c.Message
}

// exposedInWords says what the revocation was good for.
func exposedInWords(rev *v1alpha1.Revocation, now time.Time) string {
	until := rev.Status.Exposure.Until.Time
	if until.IsZero() || !until.After(now) {
		return "no token lives any more that it hits"
	}
	return fmt.Sprintf("tokens that it hits would have been good until %s; verifiers other than Keyturn's edges may accept them until then", moment(until, now))
}
