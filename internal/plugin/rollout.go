package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// RolloutReport is one AuthRollout.
type RolloutReport struct {
	Namespace    string `json:"namespace"`
	Name         string `json:"name"`
	TokenService string `json:"tokenService"`
	Ready        string `json:"ready"`
	Stage        string `json:"stage"`
	// Step counts the steps taken, of all; Percent is the share of the users who get JWTs since Since.
	Step    string              `json:"step"`
	Percent int32               `json:"percent"`
	Since   time.Time           `json:"since,omitzero"`
	Steps   []RolloutStepReport `json:"steps"`
	// Progress says in a sentence what the next step waits for, ProgressReason in a word.
	Progress       string `json:"progress"`
	ProgressReason string `json:"progressReason"`
	Next           string `json:"next"`
	// Replicas count those that work with this percentage, of all; Waiting names some that do not.
	Replicas string               `json:"replicas"`
	Waiting  []string             `json:"waiting,omitempty"`
	Guard    v1alpha1.GuardStatus `json:"guard"`
	// RollbackSafe is True or False; Rollback says why.
	RollbackSafe string `json:"rollbackSafe"`
	Rollback     string `json:"rollback"`
	LegacyShare  string `json:"legacyShare"`
	Sunset       string `json:"sunset"`
	// Census tells who still uses sessions; absent until an edge has told. Report names the ConfigMap with the final report.
	Census       *v1alpha1.LegacyCensus    `json:"census,omitempty"`
	Report       string                    `json:"report,omitempty"`
	Refused      string                    `json:"refusedCommand,omitempty"`
	LastRollback *v1alpha1.RolloutRollback `json:"lastRollback,omitempty"`
	History      []v1alpha1.RolloutChange  `json:"history"`
	Problems     []Problem                 `json:"problems"`
}

// RolloutStepReport is one step: Taken, Now or Ahead.
type RolloutStepReport struct {
	Percent  int32  `json:"percent"`
	Bake     string `json:"bake"`
	Approval string `json:"approval"`
	State    string `json:"state"`
}

// NewRolloutReport makes a report of an AuthRollout as its status tells it.
func NewRolloutReport(aro *v1alpha1.AuthRollout) RolloutReport {
	status := &aro.Status
	r := RolloutReport{
		Namespace: aro.Namespace, Name: aro.Name, TokenService: aro.Spec.TokenServiceRef.Name,
		Ready: statusOf(status.Conditions, v1alpha1.ConditionReady), Stage: status.Stage, Step: status.Step, Since: status.Since.Time,
		Steps: []RolloutStepReport{}, Next: status.Next, Replicas: status.Replicas, Waiting: status.WaitingFor, Guard: status.Guard,
		RollbackSafe: statusOf(status.Conditions, v1alpha1.ConditionRollbackSafe), Rollback: messageOf(status, v1alpha1.ConditionRollbackSafe),
		Progress: messageOf(status, v1alpha1.ConditionProgressing), LegacyShare: status.LegacyShare, Sunset: status.Sunset, Refused: status.RefusedCommand,
		Report: status.Report, History: slices.Clone(status.History), Problems: rolloutProblems(aro),
	}
	for i := range status.Conditions {
		if c := &status.Conditions[i]; c.Type == v1alpha1.ConditionProgressing {
			r.ProgressReason = c.Reason
		}
	}
	if status.Census.Legacy.Replicas != "" {
		r.Census = status.Census.Legacy.DeepCopy()
	}
	if status.Percent != nil {
		r.Percent = *status.Percent
	}
	position := 0
	if status.State != nil {
		position, r.LastRollback = int(status.State.Position), status.State.Rollback
	}
	for i, step := range aro.Spec.Steps {
		out := RolloutStepReport{Percent: step.Percent, Approval: string(step.Approval), State: "Ahead"}
		if step.Bake != nil {
			out.Bake = step.Bake.Duration.String()
		}
		switch {
		case i+1 < position:
			out.State = "Taken"
		case i+1 == position:
			out.State = "Now"
		}
		r.Steps = append(r.Steps, out)
	}
	if r.History == nil {
		r.History = []v1alpha1.RolloutChange{}
	}
	if r.Problems == nil {
		r.Problems = []Problem{}
	}
	return r
}

func messageOf(status *v1alpha1.AuthRolloutStatus, kind string) string {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return status.Conditions[i].Message
		}
	}
	return ""
}

func rolloutProblems(aro *v1alpha1.AuthRollout) []Problem {
	return problems("AuthRollout", aro, aro.Status.ObservedGeneration, aro.Status.Conditions)
}

// RolloutsReport is what `rollout status` prints for machines.
type RolloutsReport struct {
	Rollouts []RolloutReport `json:"rollouts"`
}

// RolloutStatus prints one rollout, or all of the namespace.
func (s *Session) RolloutStatus(ctx context.Context, name string, watch bool) error {
	return s.show(ctx, watch, func() (any, func() string, error) {
		report, err := s.rolloutsReport(ctx, name)
		return report, func() string {
			if len(report.Rollouts) == 0 {
				return "No AuthRollout " + s.where() + ".\n"
			}
			parts := make([]string, 0, len(report.Rollouts))
			for i := range report.Rollouts {
				parts = append(parts, drawRollout(s.Screen, &report.Rollouts[i], s.Now()))
			}
			return strings.Join(parts, "\n")
		}, err
	})
}

func (s *Session) rolloutsReport(ctx context.Context, name string) (RolloutsReport, error) {
	report := RolloutsReport{Rollouts: []RolloutReport{}}
	var all v1alpha1.AuthRolloutList
	if name != "" {
		aro, err := s.rollout(ctx, name)
		if err != nil {
			return report, err
		}
		all.Items = append(all.Items, *aro)
	} else if err := s.Client.List(ctx, &all, client.InNamespace(s.Namespace)); err != nil {
		return report, err
	}
	for i := range all.Items {
		report.Rollouts = append(report.Rollouts, NewRolloutReport(&all.Items[i]))
	}
	return report, nil
}

// rollout gets an AuthRollout; its error names those that exist.
func (s *Session) rollout(ctx context.Context, name string) (*v1alpha1.AuthRollout, error) {
	var aro v1alpha1.AuthRollout
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &aro)
	if err == nil {
		return &aro, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	return nil, s.missing("AuthRollout", name, s.RolloutNames(ctx), err)
}

// RolloutNames lists the names of rollouts, for completion.
func (s *Session) RolloutNames(ctx context.Context) []string {
	report, err := s.rolloutsReport(ctx, "")
	if err != nil {
		return nil
	}
	var names []string
	for i := range report.Rollouts {
		names = append(names, report.Rollouts[i].Name)
	}
	return names
}

// RolloutOptions are the flags of `rollout promote`, `hold`, `resume` and `abort`.
type RolloutOptions struct {
	Name string
	// Action is one of [RolloutActions].
	Action string
	// Wait until every replica works with what the command has led to, Timeout at most (0: no limit).
	Wait    bool
	Timeout time.Duration
}

// RolloutActions are what can be commanded.
var RolloutActions = []string{"promote", "hold", "resume", "abort"}

// RolloutCommand gives a command, and with Wait follows it.
func (s *Session) RolloutCommand(ctx context.Context, o RolloutOptions) error {
	aro, err := s.rollout(ctx, o.Name)
	if err != nil {
		return err
	}
	before := NewRolloutReport(aro)
	id := commandID(aro, s.Now())
	patch := client.MergeFrom(aro.DeepCopy())
	if aro.Annotations == nil {
		aro.Annotations = map[string]string{}
	}
	aro.Annotations[v1alpha1.AnnotationRolloutCommand] = id + " " + o.Action
	if err := s.Client.Patch(ctx, aro, patch); err != nil {
		return err
	}
	s.note("AuthRollout %s/%s at %d%%: %s commanded at %s", aro.Namespace, aro.Name, before.Percent, o.Action, id)
	if !o.Wait {
		s.note("follow it with: kubectl keyturn rollout status %s -n %s --watch", aro.Name, aro.Namespace)
		return nil
	}
	return s.followRollout(ctx, o, id)
}

// commandID is the time, to the second unless an earlier command was given in the same one: a command must be later than the
// last.
func commandID(aro *v1alpha1.AuthRollout, now time.Time) string {
	asked, _, _ := strings.Cut(aro.Annotations[v1alpha1.AnnotationRolloutCommand], " ")
	earlier := []string{asked}
	if aro.Status.State != nil {
		earlier = append(earlier, aro.Status.State.Command)
	}
	for _, earlier := range earlier {
		if at, err := time.Parse(time.RFC3339, earlier); err == nil && !now.Truncate(time.Second).After(at) {
			return now.UTC().Format("2006-01-02T15:04:05.000000000Z")
		}
	}
	return now.UTC().Format(time.RFC3339)
}

func acknowledged(aro *v1alpha1.AuthRollout, id string) bool {
	return aro.Status.State != nil && aro.Status.State.Command == id
}

// followRollout prints each new step until every replica has what the command led to.
func (s *Session) followRollout(ctx context.Context, o RolloutOptions, id string) error {
	start, last := s.Now(), ""
	mend := fmt.Sprintf("look again: kubectl keyturn rollout status %s -n %s", o.Name, s.Namespace)
	for {
		aro, err := s.rollout(ctx, o.Name)
		if err != nil {
			return err
		}
		if why, refused := strings.CutPrefix(aro.Status.RefusedCommand, id+": "); refused {
			return &Trouble{What: "the command is refused: " + why, Mend: mend}
		}
		r := NewRolloutReport(aro)
		done, line := false, "asked; the manager has not answered yet"
		if acknowledged(aro, id) {
			done = statusOf(aro.Status.Conditions, v1alpha1.ConditionInForce) == "True"
			line = fmt.Sprintf("%d%%, %s replicas work with it", r.Percent, r.Replicas)
			if done {
				line = fmt.Sprintf("done: %s; %s", line, r.Progress)
			} else if len(r.Waiting) > 0 {
				line += ": " + r.Waiting[0]
			}
		}
		if line != last {
			s.note("%6s  %s", span(s.Now().Sub(start)), clean(line))
			last = line
		}
		switch {
		case done:
			return nil
		case o.Timeout > 0 && s.Now().Sub(start) >= o.Timeout:
			return &Trouble{What: fmt.Sprintf("not done after %s: %s", o.Timeout, line), Mend: "the command stands. Wait longer with --timeout, or " + mend}
		case !s.wait(ctx, rotateEvery):
			return &Trouble{What: "interrupted; the command stands", Mend: mend, Cause: ctx.Err()}
		}
	}
}
