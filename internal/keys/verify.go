package keys

import (
	"slices"
	"time"
)

// reopen takes back a verifyUntil that was too early: a signer is seen on the key again, or it signed for longer than was known.
// And one that was too late: a clock that leapt ahead must not keep a key for years.
func (p *planner) reopen() {
	for i := range p.ring.Keys {
		k := &p.ring.Keys[i]
		if k.State != Retiring || k.VerifyUntil.IsZero() {
			continue
		}
		if slices.ContainsFunc(p.signers(), func(r Replica) bool { return r.Reachable && r.ActiveKID == k.KID }) {
			k.VerifyUntil, p.changed = time.Time{}, true
		} else if p.inFuture(k.VerifyUntil.Add(-max(p.longest(), k.MaxTTL) - p.margin())) {
			k.VerifyUntil, p.changed = time.Time{}, true
		} else if t := p.latestExp(k.KID).Add(p.margin()); t.After(k.VerifyUntil) {
			k.VerifyUntil, p.changed = t, true
		}
	}
}

// closeVerification sets verifyUntil once every signer is seen on the Active key. Zero signers acknowledge nothing.
func (p *planner) closeVerification() {
	if p.doubted || !p.switched() {
		return
	}
	for i := range p.ring.Keys {
		k := &p.ring.Keys[i]
		if k.State != Retiring || !k.VerifyUntil.IsZero() {
			continue
		}
		last := p.now.Add(k.MaxTTL)
		if exp := p.latestExp(k.KID); exp.After(last) {
			last = exp
		}
		k.VerifyUntil, p.changed = last.Add(p.margin()), true
	}
}

// switched tells whether every signer is known to sign with the Active key of the ring.
func (p *planner) switched() bool {
	active, signers := p.ring.Active(), p.signers()
	if active == nil || len(signers) == 0 {
		return false
	}
	return !slices.ContainsFunc(signers, func(r Replica) bool { return !r.Reachable || r.ActiveKID != active.KID })
}

// expire removes keys whose last token has expired. Every signer is asked once more: one that cannot be heard, or that has just
// started, might sign with an old key.
func (p *planner) expire() {
	if p.doubted || !p.switched() && len(p.signers()) > 0 {
		return
	}
	for _, k := range slices.Clone(p.ring.Keys) {
		if k.State == Retiring && !k.VerifyUntil.IsZero() && p.now.After(k.VerifyUntil) {
			p.bury(k.KID, Removed, ReasonExpired)
		}
	}
}

// longest is how long a token can live at most.
func (p *planner) longest() time.Duration { return max(MaxAccessTTL, p.policy.AccessTTL) }

// latestExp is the latest expiry that any replica has reported for a key. One that no token can have was signed by a clock that
// leapt ahead: every edge refuses such a token.
func (p *planner) latestExp(kid string) time.Time {
	var last time.Time
	end := p.now.Add(p.longest() + p.margin())
	for _, r := range p.obs.Replicas {
		if t := r.LatestExp[kid]; r.Reachable && t.After(last) && !t.After(end) {
			last = t
		}
	}
	return last.UTC().Round(0)
}
