package keys

import "time"

// Next decides what to do now.
func Next(now time.Time, policy Policy, observed Observed) Plan {
	panic("in progress")
}

// Rebuild makes a ring from what remains of a set.
func Rebuild(now time.Time, policy Policy, remains Remains) Ring {
	panic("in progress")
}

// Validate tells what is wrong with a ring.
func (r *Ring) Validate() error { panic("in progress") }
