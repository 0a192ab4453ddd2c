// Package rollout decides how users move from legacy sessions to JWTs: who is in the cohort, what each of them gets, when
// the next step comes, when it is taken back, and when the old sessions end.
//
//	Bucket(salt, user) ──▶ Cohort.Has(user) ──▶ Login, Refresh, Exchange: what the token service issues
//	Schedule.Stage(now) ─────────────────────▶ Edge: what is accepted, with which headers
//	Next(now, policy, state, evidence) ──────▶ the next state: hold, promote, roll back, end
//
// # Steering, never acceptance
//
// The percentage decides what is issued. Both credentials are accepted until the sunset, whatever the percentage, so
// that it can be lowered at any moment: a rollback takes nothing away from anybody. No answer of this package takes a
// working credential without giving another.
//
// # Purity
//
// Values in, values out: the standard library only, no clock, no log, no goroutine. Time is an argument, and the same
// arguments give the same answer, so ninety days run in a second of tests.
package rollout
