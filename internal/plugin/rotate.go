package plugin

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// RotateOptions are the flags of `rotate`.
type RotateOptions struct {
	Set string
	// Wait until every replica has loaded the new key and every signer uses it, Timeout at most (0: no limit).
	Wait    bool
	Timeout time.Duration
}

// rotateEvery is how often --wait looks.
const rotateEvery = time.Second

// Rotate asks for a rotation, and with Wait follows it.
func (s *Session) Rotate(ctx context.Context, o RotateOptions) error {
	set, err := s.set(ctx, o.Set)
	if err != nil {
		return err
	}
	now := s.Now()
	before := NewSetReport(set)
	value := request(set, now)
	patch := client.MergeFrom(set.DeepCopy())
	if set.Annotations == nil {
		set.Annotations = map[string]string{}
	}
	set.Annotations[v1alpha1.AnnotationRotateRequestedAt] = value
	if err := s.Client.Patch(ctx, set, patch); err != nil {
		return err
	}
	if before.PendingRequest != "" {
		s.note("the request of %s was not carried out yet; this one takes its place", clean(before.PendingRequest))
	}
	s.note("SigningKeySet %s/%s: rotation asked for at %s", set.Namespace, set.Name, value)
	if !o.Wait {
		s.note("follow it with: kubectl keyturn keys %s -n %s --watch", set.Name, set.Namespace)
		return nil
	}
	return s.follow(ctx, o, value, before.ActiveKID)
}

// request is a value that the annotation does not have yet and that was not served yet: an instant, finer if it must be.
func request(set *v1alpha1.SigningKeySet, now time.Time) string {
	value := now.UTC().Format(time.RFC3339)
	if value == set.Annotations[v1alpha1.AnnotationRotateRequestedAt] || value == set.Status.RotateRequestObserved {
		value = now.UTC().Format("2006-01-02T15:04:05.000000000Z")
	}
	return value
}

// follow prints each new step until the rotation is done.
func (s *Session) follow(ctx context.Context, o RotateOptions, value, oldKID string) error {
	start, last := s.Now(), ""
	for {
		set, err := s.set(ctx, o.Set)
		if err != nil {
			return err
		}
		r := NewSetReport(set)
		done, line := progress(&r, set.Status.RotateRequestObserved == value, oldKID, s.Now())
		if line != last {
			s.note("%6s  %s", span(s.Now().Sub(start)), clean(line))
			last = line
		}
		if done {
			return nil
		}
		if asked := set.Annotations[v1alpha1.AnnotationRotateRequestedAt]; asked != value && set.Status.RotateRequestObserved != value {
			return &Trouble{What: "another request (" + asked + ") has taken the place of this one", Mend: s.lookAgain("follow that one", o.Set) + " --watch"}
		}
		if o.Timeout > 0 && s.Now().Sub(start) >= o.Timeout {
			return &Trouble{
				What: fmt.Sprintf("not done after %s: %s", o.Timeout, line),
				Mend: s.lookAgain("the request stands and will be carried out. Wait longer with --timeout, or look again", o.Set),
			}
		}
		if !s.wait(ctx, rotateEvery) {
			return &Trouble{What: "interrupted; the request stands and will be carried out", Mend: s.lookAgain("look again", o.Set), Cause: ctx.Err()}
		}
	}
}

func (s *Session) lookAgain(words, set string) string {
	return fmt.Sprintf("%s: kubectl keyturn keys %s -n %s", words, set, s.Namespace)
}

// progress says in one line how far a rotation is.
func progress(r *SetReport, acknowledged bool, oldKID string, now time.Time) (done bool, line string) {
	switch {
	case !acknowledged && r.Next != nil && r.Next.To == string(v1alpha1.KeyActive) && r.Next.WaitsFor != "":
		return false, "waits: " + r.Next.WaitsFor
	case !acknowledged && r.gated(now):
		return false, fmt.Sprintf("waits until %s, when the next key %s has been published for long enough", moment(r.Next.NotBefore, now), short(r.Next.KID))
	case !acknowledged:
		return false, "asked; the manager has not answered yet"
	case r.ActiveKID == oldKID:
		return false, "acknowledged; the next key does not sign yet"
	case !r.everywhere():
		line = fmt.Sprintf("%s took over from %s; %s replicas have loaded it", short(r.ActiveKID), shortOr(oldKID, "none"), r.Loaded)
		if len(r.Waiting) > 0 {
			line += ", waiting for " + r.Waiting[0]
		}
		if n := len(r.Waiting); n > 1 {
			line += fmt.Sprintf(" and %d more", n-1)
		}
		return false, line
	}
	return true, fmt.Sprintf("done: %s signs in place of %s, loaded by %s replicas", short(r.ActiveKID), shortOr(oldKID, "none"), r.Loaded)
}

// gated tells whether the next key waits for its prePublish. A later instant is the ordinary rotation, planned before the
// manager saw the request.
func (r *SetReport) gated(now time.Time) bool {
	if r.Next == nil || r.Next.To != string(v1alpha1.KeyActive) || !r.Next.NotBefore.After(now) {
		return false
	}
	k := r.key(r.Next.KID)
	return k != nil && !r.Next.NotBefore.After(k.Published.Add(r.prePublish+time.Second))
}

func shortOr(kid, otherwise string) string {
	if kid == "" {
		return otherwise
	}
	return short(kid)
}
