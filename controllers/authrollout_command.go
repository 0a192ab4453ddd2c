package controllers

import (
	"fmt"
	"strings"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// maxCommandID bounds the id of a command, which the status repeats.
const maxCommandID = 128

// commandOf reads the annotation keyturn.dev/rollout-command: "ID ACTION". It returns why one that was not seen before cannot
// be carried out. A command that was acknowledged is no command any more.
func commandOf(aro *keyturnv1alpha1.AuthRollout, state rollout.State) (command rollout.Command, refused string) {
	text := aro.Annotations[keyturnv1alpha1.AnnotationRolloutCommand]
	id, action, _ := strings.Cut(strings.TrimSpace(text), " ")
	command.ID = clip(id, maxCommandID)
	if command.ID == "" || command.ID == state.Command {
		return command, ""
	}
	command.Action = rollout.Action(strings.TrimSpace(action))
	switch command.Action {
	case rollout.Promote, rollout.Hold, rollout.Resume, rollout.Abort:
	default:
		return command, fmt.Sprintf("%q is no command: write an id and an action, such as 2027-01-31T10:00:00Z promote; actions are promote, hold, resume and abort", clip(text, 64))
	}
	given, errGiven := time.Parse(time.RFC3339, command.ID)
	last, errLast := time.Parse(time.RFC3339, state.Command)
	if errGiven == nil && errLast == nil && given.Before(last) {
		return command, fmt.Sprintf("the command of %s came before that of %s, which was carried out: give it again with the time of now", command.ID, state.Command)
	}
	if command.Action == rollout.Promote && state.Position >= len(aro.Spec.Steps) {
		return command, "every step is taken: there is nothing to promote to"
	}
	return command, ""
}
