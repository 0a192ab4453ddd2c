package controllers

import (
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// How soon to look again: when an object was not the newest, while replicas are waited for, at first and at most, while
// somebody's Secret is, and, by default, when nothing is expected but a lost watch event.
const (
	pollConflict   = 100 * time.Millisecond
	pollWaiting    = 500 * time.Millisecond
	pollWaitingMax = 5 * time.Second
	pollReference  = 2 * time.Second
	pollSteady     = 30 * time.Second
)

// A stopped error ends a reconcile with a condition that says why: waiting longer changes nothing, an edit does.
type stopped struct {
	condition, reason, message string
}

func (s *stopped) Error() string { return s.reason + ": " + s.message }

func stop(condition, reason, format string, args ...any) error {
	return &stopped{condition, reason, fmt.Sprintf(format, args...)}
}

// asStopped turns the errors that a person must mend into a stopped one.
func asStopped(err error) (*stopped, bool) {
	var s *stopped
	if errors.As(err, &s) {
		return s, true
	}
	var foreign *errForeign
	if errors.As(err, &foreign) {
		return &stopped{keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonForeignObject, foreign.Error()}, true
	}
	return nil, false
}

// conditions collects what a reconcile found out, and sets it on the status in one go.
type conditions struct {
	list       *[]metav1.Condition
	generation int64
}

// set writes one condition; the transition time moves only when the status does.
func (c conditions) set(kind string, status metav1.ConditionStatus, reason, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	meta.SetStatusCondition(c.list, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: clip(message, 1024), ObservedGeneration: c.generation,
	})
}

// clip cuts a text to so many bytes, between two characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

func (c conditions) good(kind, reason, format string, args ...any) {
	c.set(kind, metav1.ConditionTrue, reason, format, args...)
}

func (c conditions) bad(kind, reason, format string, args ...any) {
	c.set(kind, metav1.ConditionFalse, reason, format, args...)
}

func (c conditions) find(kind string) *metav1.Condition {
	return meta.FindStatusCondition(*c.list, kind)
}

// firstBad returns the first of the positive conditions that is not True, nil if all are. One that was not looked at yet
// is not True.
func (c conditions) firstBad(kinds ...string) *metav1.Condition {
	for _, kind := range kinds {
		found := c.find(kind)
		if found == nil {
			return &metav1.Condition{Type: kind, Reason: keyturnv1alpha1.ReasonProgressing, Message: "the first roll-out is under way"}
		}
		if found.Status != metav1.ConditionTrue {
			return found
		}
	}
	return nil
}

// announce records an Event for each condition that changed its status or reason: Events and conditions have the same
// reasons.
func (b *base) announce(object client.Object, before, after []metav1.Condition) {
	for i := range after {
		now := &after[i]
		was := meta.FindStatusCondition(before, now.Type)
		if was != nil && was.Status == now.Status && was.Reason == now.Reason {
			continue
		}
		if was == nil && now.Status != metav1.ConditionTrue && !problem(now) {
			continue // a problem that never was is no news
		}
		kind := corev1.EventTypeNormal
		if problem(now) {
			kind = corev1.EventTypeWarning
		}
		b.recorder.Eventf(object, nil, kind, now.Reason, now.Type, "%s", clip(fmt.Sprintf("%s is %s: %s", now.Type, now.Status, now.Message), 1024))
	}
}

// negative are the conditions whose good state is False.
var negative = map[string]bool{
	keyturnv1alpha1.ConditionRotationOverdue: true, keyturnv1alpha1.ConditionClockSkewed: true,
	keyturnv1alpha1.ConditionRestoreDetected: true, keyturnv1alpha1.ConditionKeyMaterialLost: true,
	keyturnv1alpha1.ConditionRevocationPending: true,
}

// neutral are the conditions of which neither state is bad.
var neutral = map[string]bool{keyturnv1alpha1.ConditionProgressing: true, keyturnv1alpha1.ConditionRollbackSafe: true}

func problem(c *metav1.Condition) bool {
	if neutral[c.Type] {
		return false
	}
	if negative[c.Type] {
		return c.Status == metav1.ConditionTrue
	}
	return c.Status == metav1.ConditionFalse
}

// outcome turns the end of a reconcile into what controller-runtime does next. Two managers that collide, and an
// object that was just changed, are no errors worth a log: look again.
func (b *base) outcome(err error, after time.Duration) (reconcile.Result, error) {
	if err != nil {
		if _, permanent := asStopped(err); permanent {
			if after == 0 {
				after = b.steady
			}
			return reconcile.Result{RequeueAfter: after}, nil
		}
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return reconcile.Result{RequeueAfter: pollConflict}, nil
		}
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: after}, nil
}
