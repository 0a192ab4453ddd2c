package plugin

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

func TestRolloutGolden(t *testing.T) {
	for _, row := range []struct {
		name   string
		aro    *v1alpha1.AuthRollout
		screen Screen
	}{
		{"rollout-baking", bakingRollout(), fineScreen},
		{"rollout-baking-ascii", bakingRollout(), plainScreen},
		{"rollout-baking-colour", bakingRollout(), paintScreen},
		{"rollout-waiting", waitingRollout(), fineScreen},
		{"rollout-taken-back", takenBackRollout(), fineScreen},
		{"rollout-taken-back-narrow", takenBackRollout(), narrowScreen},
		{"rollout-ended", endedRollout(), fineScreen},
		{"rollout-late", lateRollout(), fineScreen},
		{"rollout-late-narrow", lateRollout(), narrowScreen},
		{"rollout-new", newRollout(), fineScreen},
	} {
		t.Run(row.name, func(t *testing.T) {
			report := NewRolloutReport(row.aro)
			got := drawRollout(row.screen, &report, now)
			golden(t, row.name, got)
			if row.screen.Unicode {
				return
			}
			for _, r := range got {
				if r > 126 {
					t.Fatalf("%q on a screen of plain ASCII", r)
				}
			}
		})
	}
}

// TestRolloutTroubles: a hold, a pause and a way that is shut are no problems; a guard that fails is.
func TestRolloutTroubles(t *testing.T) {
	for name, row := range map[string]struct {
		aro  *v1alpha1.AuthRollout
		want string
	}{
		"baking": {bakingRollout(), ""}, "waiting": {waitingRollout(), ""}, "ended": {endedRollout(), ""},
		"taken back": {takenBackRollout(), "InForce Failure, GuardPassing Warning"},
		"new":        {newRollout(), "Ready Unknown"},
	} {
		var got []string
		for _, p := range NewRolloutReport(row.aro).Problems {
			got = append(got, p.Condition+" "+string(p.Severity))
		}
		if text := strings.Join(got, ", "); text != row.want {
			t.Errorf("%s: %q, want %q", name, text, row.want)
		}
	}
}

func TestRolloutStatusCommand(t *testing.T) {
	c := newCall(t, noFuncs, bakingRollout())
	if err := c.RolloutStatus(c.ctx, "", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "rollout-baking", c.out.String())
	c.out.Reset()
	c.Format = JSON
	if err := c.RolloutStatus(c.ctx, "web", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "command-rollout-json", c.out.String())
	err := c.RolloutStatus(c.ctx, "wbe", false)
	if err == nil || !strings.Contains(Explain(err, "demo").Mend, "it has: web") {
		t.Errorf("a name that is not there: %v", err)
	}
	c = newCall(t, noFuncs)
	if err := c.RolloutStatus(c.ctx, "", false); err != nil || c.out.String() != "No AuthRollout in namespace demo.\n" {
		t.Errorf("%q, %v", &c.out, err)
	}
	c = newCall(t, noFuncs, settledSet(), healthyService(), webPolicy(), takenBackRollout())
	if err := c.Status(c.ctx, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-rollout", c.out.String())
}

// changeRollout plays the manager.
func (c *call) changeRollout(t *testing.T, edit func(*v1alpha1.AuthRollout)) {
	t.Helper()
	var aro v1alpha1.AuthRollout
	if err := c.Client.Get(c.ctx, client.ObjectKey{Namespace: "demo", Name: "web"}, &aro); err != nil {
		t.Fatal(err)
	}
	edit(&aro)
	if err := c.Client.Update(c.ctx, &aro); err != nil {
		t.Fatal(err)
	}
}

func (c *call) commanded(t *testing.T) string {
	t.Helper()
	value := ""
	c.changeRollout(t, func(aro *v1alpha1.AuthRollout) { value = aro.Annotations[v1alpha1.AnnotationRolloutCommand] })
	return value
}

func TestRolloutCommand(t *testing.T) {
	for _, action := range RolloutActions {
		c := newCall(t, noFuncs, bakingRollout())
		if err := c.RolloutCommand(c.ctx, RolloutOptions{Name: "web", Action: action}); err != nil {
			t.Fatal(err)
		}
		first := c.commanded(t)
		if first != "2026-12-01T10:00:00Z "+action {
			t.Errorf("the annotation is %q", first)
		}
		// The same second again must be a new command all the same.
		if err := c.RolloutCommand(c.ctx, RolloutOptions{Name: "web", Action: action}); err != nil {
			t.Fatal(err)
		}
		if second := c.commanded(t); second == first {
			t.Errorf("the second command is %q too", second)
		}
		golden(t, "rollout-"+action, c.err.String())
	}
}

// TestRolloutCommandWait plays a manager: it acknowledges, and the replicas follow.
func TestRolloutCommandWait(t *testing.T) {
	c := newCall(t, noFuncs, waitingRollout())
	c.onWait = func(waits int) bool {
		c.changeRollout(t, func(aro *v1alpha1.AuthRollout) {
			s := &aro.Status
			switch waits {
			case 2:
				id, _, _ := strings.Cut(aro.Annotations[v1alpha1.AnnotationRolloutCommand], " ")
				percent := int32(100)
				s.State.Command, s.State.Percent, s.Percent, s.Replicas = id, 100, &percent, "0/3"
				s.Conditions[3] = condition("InForce", "False", "WaitingForReplicas", "0 of 3")
				s.Conditions[5] = condition("Progressing", "True", "Complete", "3/3 of the steps are taken; everybody is in the cohort (none)")
			case 3:
				s.Replicas, s.WaitingFor = "2/3", []string{"web-extauthz-7c9f6d-x2x4q has 50%, wants 100%"}
			case 4:
				s.Replicas, s.WaitingFor = "3/3", nil
				s.Conditions[3] = condition("InForce", "True", "AsExpected", "all 3")
			}
		})
		return waits < 20
	}
	if err := c.RolloutCommand(c.ctx, RolloutOptions{Name: "web", Action: "promote", Wait: true, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	golden(t, "rollout-wait", c.err.String())
}

func TestRolloutCommandEnds(t *testing.T) {
	for name, onWait := range map[string]func(*testing.T, *call) func(int) bool{
		"rollout-timeout":     func(*testing.T, *call) func(int) bool { return func(int) bool { return true } },
		"rollout-interrupted": func(*testing.T, *call) func(int) bool { return func(int) bool { return false } },
		"rollout-refused": func(t *testing.T, c *call) func(int) bool {
			return func(int) bool {
				c.changeRollout(t, func(aro *v1alpha1.AuthRollout) {
					aro.Status.RefusedCommand = "2026-12-01T10:00:00Z: the sessions have ended, there is nothing to steer"
				})
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCall(t, noFuncs, bakingRollout())
			c.onWait = onWait(t, c)
			err := c.RolloutCommand(c.ctx, RolloutOptions{Name: "web", Action: "abort", Wait: true, Timeout: 5 * time.Second})
			if err == nil {
				t.Fatal("it says that the command is carried out")
			}
			golden(t, name, c.err.String()+DrawTrouble(fineScreen, Explain(err, "demo")))
		})
	}
}

// TestHostileRollout shows that a message cannot steer the terminal.
func TestHostileRollout(t *testing.T) {
	aro := takenBackRollout()
	evil := "evil\x1b]0;title\x07\u202e\n" + strings.Repeat("long ", 100)
	aro.Name, aro.Status.Next, aro.Status.WaitingFor, aro.Status.RefusedCommand = "web\x1b[2J", evil, []string{evil}, evil
	aro.Status.History[0].Why, aro.Status.History[0].Change, aro.Status.Guard.Summary, aro.Status.Sunset, aro.Status.Stage = evil, evil, evil, evil, evil
	aro.Status.Conditions[6].Message, aro.Spec.Steps[0].Approval = evil, v1alpha1.StepApproval(evil)
	report := NewStatusReport("demo", nil, nil, nil, *aro)
	for _, text := range []string{drawStatus(fineScreen, &report, true, now), drawRollout(fineScreen, &report.Rollouts[0], now)} {
		if strings.ContainsAny(text, "\x1b\x07\u202e") {
			t.Errorf("control characters reach the terminal: %q", text)
		}
	}
}

// A command is later than the one before, however quickly they follow each other.
func TestCommandIDsGrow(t *testing.T) {
	aro := &v1alpha1.AuthRollout{Status: v1alpha1.AuthRolloutStatus{State: &v1alpha1.RolloutState{}}}
	now := time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC)
	last := time.Time{}
	for i, after := range []time.Duration{0, 300 * time.Millisecond, 301 * time.Millisecond, time.Second, 1001 * time.Millisecond, 2 * time.Second} {
		id := commandID(aro, now.Add(after))
		given, err := time.Parse(time.RFC3339, id)
		if err != nil || !given.After(last) {
			t.Errorf("command %d is %s (error %v), the one before %s", i, id, err, last)
		}
		if last = given; i%2 == 0 {
			aro.Status.State.Command = id
		} else {
			aro.Annotations = map[string]string{v1alpha1.AnnotationRolloutCommand: id + " promote"}
		}
	}
}
