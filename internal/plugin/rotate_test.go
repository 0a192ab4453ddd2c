package plugin

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// change plays the manager: it changes the stored set.
func (c *call) change(t *testing.T, edit func(*v1alpha1.SigningKeySet)) {
	t.Helper()
	var set v1alpha1.SigningKeySet
	if err := c.Client.Get(c.ctx, client.ObjectKey{Namespace: "demo", Name: "main"}, &set); err != nil {
		t.Fatal(err)
	}
	edit(&set)
	if err := c.Client.Update(c.ctx, &set); err != nil {
		t.Fatal(err)
	}
}

func (c *call) requested(t *testing.T) string {
	t.Helper()
	value := ""
	c.change(t, func(set *v1alpha1.SigningKeySet) { value = set.Annotations[v1alpha1.AnnotationRotateRequestedAt] })
	return value
}

func TestRotateAsks(t *testing.T) {
	c := newCall(t, noFuncs, settledSet())
	if err := c.Rotate(c.ctx, RotateOptions{Set: "main"}); err != nil {
		t.Fatal(err)
	}
	first := c.requested(t)
	if first != "2026-12-01T10:00:00Z" {
		t.Errorf("the annotation is %q", first)
	}
	// The same second again must be a new request all the same.
	if err := c.Rotate(c.ctx, RotateOptions{Set: "main"}); err != nil {
		t.Fatal(err)
	}
	if second := c.requested(t); second == first {
		t.Errorf("the second request is %q too", second)
	}
	golden(t, "rotate-asks", c.err.String())
	if c.out.Len() > 0 {
		t.Errorf("standard output: %q", &c.out)
	}
}

// TestRotateWait plays a manager: it sees the request, waits for prePublish, activates, and the replicas follow.
func TestRotateWait(t *testing.T) {
	c := newCall(t, noFuncs, rotatedSet())
	c.onWait = func(waits int) bool {
		c.change(t, func(set *v1alpha1.SigningKeySet) {
			s := &set.Status
			switch waits {
			case 2: // seen: the gate is prePublish after publication
				s.NextTransition.NotBefore = metav1.NewTime(s.Keys[0].PublishedTime.Add(day))
			case 5: // the gate is passed, an edge is missing
				s.NextTransition.NotBefore = at(time.Minute)
				s.NextTransition.BlockedBy = "kid 9f2c01aa not yet loaded by web-extauthz-1-a (has epoch 9, wants 10)"
			case 8: // activated
				s.RotateRequestObserved = set.Annotations[v1alpha1.AnnotationRotateRequestedAt]
				s.ActiveKid, s.StandbyKid, s.NextTransition = kid3, "", nil
				s.Propagation = v1alpha1.PropagationStatus{Replicas: "1/3", WaitingFor: []string{"web-extauthz-1-a", "web-extauthz-1-b"}}
			case 10:
				s.Propagation = v1alpha1.PropagationStatus{Replicas: "3/3"}
			}
		})
		return waits < 20
	}
	if err := c.Rotate(c.ctx, RotateOptions{Set: "main", Wait: true, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	golden(t, "rotate-wait", c.err.String())
	if c.waits != 10 {
		t.Errorf("it waited %d times", c.waits)
	}
}

func TestRotateWaitEnds(t *testing.T) {
	for _, row := range []struct {
		name   string
		onWait func(t *testing.T, c *call) func(int) bool
	}{
		{"rotate-timeout", func(*testing.T, *call) func(int) bool { return func(int) bool { return true } }},
		{"rotate-interrupted", func(*testing.T, *call) func(int) bool { return func(int) bool { return false } }},
		{"rotate-overtaken", func(t *testing.T, c *call) func(int) bool {
			return func(int) bool {
				c.change(t, func(set *v1alpha1.SigningKeySet) {
					set.Annotations[v1alpha1.AnnotationRotateRequestedAt] = "2026-12-01T10:00:01Z"
				})
				return true
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCall(t, noFuncs, stuckSet())
			c.onWait = row.onWait(t, c)
			err := c.Rotate(c.ctx, RotateOptions{Set: "main", Wait: true, Timeout: 5 * time.Second})
			if err == nil {
				t.Fatal("it says that the rotation is done")
			}
			golden(t, row.name, c.err.String()+DrawTrouble(fineScreen, Explain(err, "demo")))
		})
	}
}

// TestProgressNeedsReplicas: with no replica nothing has loaded the key, whatever is written.
func TestProgressNeedsReplicas(t *testing.T) {
	for _, replicas := range []string{"", "0/0", "2/3"} {
		set := settledSet()
		set.Status.Propagation.Replicas = replicas
		r := NewSetReport(set)
		if done, line := progress(&r, true, kid1, now); done {
			t.Errorf("replicas %q: %s", replicas, line)
		}
	}
	r := NewSetReport(settledSet())
	if done, _ := progress(&r, true, kid1, now); !done {
		t.Error("3/3 replicas have it, and it is not done")
	}
	if done, _ := progress(&r, false, kid1, now); done {
		t.Error("done before it was acknowledged")
	}
	if done, _ := progress(&r, true, kid2, now); done {
		t.Error("done while the old key signs")
	}
}
