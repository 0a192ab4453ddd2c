// Package steering makes the rollout of a document ready for work: token service and edge decide, announce and count by
// the same values.
//
//	snapshot.Rollout ── New, once a document ──▶ Steering ─┬─ Rules: who gets what (package rollout)
//	                                                       ├─ Headers: Deprecation, Sunset, Link
//	                                                       └─ Side: whose events are the cohort's ──▶ Counter ──▶ status
package steering
