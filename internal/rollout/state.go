package rollout

import "time"

// Step is a share of the users and what it takes to go beyond it.
type Step struct {
	// Percent is the share, 1 to 100; each step's is above the one's before, the last one's is 100.
	Percent int
	// Bake is how long the step is watched at least.
	Bake time.Duration
	// Manual: somebody must say promote; otherwise time and guard are enough.
	Manual bool
}

// Policy is what somebody wants.
type Policy struct {
	Steps []Step
	Guard Guard
	// ToStart: a rollback leads to 0 %; otherwise to the step before.
	ToStart bool
	// Cooldown is how long after a rollback nothing is tried again.
	Cooldown time.Duration
	// Paused stops everything but what somebody commands: no promotion, no rollback.
	Paused bool
}

// Action is what somebody commands, once.
type Action string

// The actions. Each is carried out once: a command has an id, and the state remembers the last one.
const (
	// Promote goes to the next step at once, without waiting for time, guard or approval.
	Promote Action = "promote"
	// Hold stays at this step until Resume. A rollback by the guard still happens.
	Hold Action = "hold"
	// Resume ends a Hold, a held guard and the cooldown.
	Resume Action = "resume"
	// Abort goes to 0 % and holds.
	Abort Action = "abort"
)

// Command is an [Action] with the id of the request.
type Command struct {
	ID     string
	Action Action
}

// Reason says why the rollout is where it is. It is stable.
type Reason string

// The reasons.
const (
	// Baking: the step is young.
	Baking Reason = "Baking"
	// Watching: the guard has not had enough events at this step yet, or waits for the interval that is being counted.
	Watching Reason = "TooFewSamples"
	// NoData: the replicas' counters could not be read.
	NoData Reason = "NoData"
	// AwaitingApproval: somebody must say promote.
	AwaitingApproval Reason = "AwaitingApproval"
	// Held, Aborted and Paused: somebody said so.
	Held    Reason = "Held"
	Aborted Reason = "Aborted"
	Paused  Reason = "Paused"
	// CoolingDown: a step was taken back a while ago.
	CoolingDown Reason = "CoolingDown"
	// Unhealthy: the guard failed, and not yet often enough.
	Unhealthy Reason = "GuardFailed"
	// UnevenSplit: the two sides differ although nobody got anything yet: change the salt.
	UnevenSplit Reason = "UnevenSplit"
	// Complete: everybody is in the cohort.
	Complete Reason = "Complete"
)

// State is how far a rollout is. It lives in the status of its object and nowhere else; the zero value has not begun.
type State struct {
	// Position counts the steps that were taken: 0 is 0 %, n is Steps[n-1].
	Position int `json:"position"`
	// Percent is the share in force. It is what documents carry, also when the steps were edited since.
	Percent int `json:"percent"`
	// Since is when this position was reached.
	Since time.Time `json:"since"`
	// Gathered adds up until it can be judged. Passed is whether a judgement passed at this position, Failures how many
	// failed in a row, and Cause what the last one failed by.
	Gathered Sample `json:"gathered"`
	Passed   bool   `json:"passed,omitempty"`
	Failures int    `json:"failures,omitempty"`
	Cause    Cause  `json:"cause,omitempty"`
	// LoginFailures counts the judgements of the forced logins that failed in a row. They come less often than the others:
	// what failed stands until there are logins enough to judge again.
	LoginFailures int `json:"loginFailures,omitempty"`
	// Judged is the sample of the last judgement. Its Logins are those that were judged last at this position.
	Judged Sample `json:"judged"`
	// Baseline is the cohort's counts when the step before was left: at 100 % there is no control any more. Where the
	// cohort does better than it at 100 %, beyond chance and the limits, that becomes the baseline. A step that was left
	// without a passed judgement leaves the one before. Where there is none ([State.NoBaseline]), what is first counted within
	// the absolute limits becomes it.
	Baseline Baseline `json:"baseline"`
	// Blind is that the counters of the last interval could not be read.
	Blind bool `json:"blind,omitempty"`
	// HeldBy is Held or Aborted while a command holds, UnevenSplit while the guard does; empty otherwise.
	HeldBy Reason `json:"heldBy,omitempty"`
	// CooldownUntil is when a step may be tried again; zero: now.
	CooldownUntil time.Time `json:"cooldownUntil,omitzero"`
	// Rollback is the last one; nil if there was none.
	Rollback *Rollback `json:"rollback,omitempty"`
	// Command is the id of the last command that was carried out.
	Command string `json:"command,omitempty"`
}

// NoBaseline tells whether everybody is in the cohort and there is nothing to compare it with: the status was lost at
// 100 %, or every step was taken without a judgement that passed.
func (s *State) NoBaseline(g Guard) bool {
	return s.Percent >= 100 && s.Baseline.Events.Events < max(g.MinSamples, 1)
}

// Rollback is a step that was taken back, with the evidence.
type Rollback struct {
	At   time.Time `json:"at"`
	From int       `json:"from"` // percent
	To   int       `json:"to"`
	// Verdict is Failed or FailedFast, Cause what failed.
	Verdict Verdict `json:"verdict"`
	Cause   Cause   `json:"cause"`
	Sample  Sample  `json:"sample"`
}

// Change is what became of the percentage.
type Change string

// The changes. The zero value is none.
const (
	Unchanged  Change = ""
	Promoted   Change = "Promoted"
	RolledBack Change = "RolledBack"
	Stopped    Change = "Aborted"
)
