package keys

import "time"

// margin is how far two clocks may be apart before times mean nothing: what every recorded time allows for.
func (p *planner) margin() time.Duration { return 2 * max(p.policy.ClockSkew, 0) }

// staleReport is the age from which a report proves nothing about the time: it is old, or the manager's clock leapt since.
const staleReport = 10 * time.Minute

// offset tells how far a replica's clock is ahead of the manager's.
func (p *planner) offset(r *Replica) (time.Duration, bool) {
	if !r.Reachable || r.Clock.IsZero() || r.Read.IsZero() {
		return 0, false
	}
	d := r.Clock.Sub(r.Read)
	if back := r.Read.Sub(p.now); back > 0 {
		d += back // the manager's clock went back since it read the report
	}
	return d, true
}

// readClocks asks the replicas whether the manager's clock can be right, and names those that are off.
func (p *planner) readClocks() {
	known, off := 0, 0
	for i := range p.obs.Replicas {
		r := &p.obs.Replicas[i]
		d, ok := p.offset(r)
		if !ok {
			continue
		}
		known++
		if d.Abs() > p.margin() || p.now.Sub(r.Read) > staleReport {
			off++
		}
		if d.Abs() > p.policy.ClockSkew {
			p.find(ClockSkewed, "", "the clock of %s is %s the manager's, more than the %s allowed", r.Name, aheadOf(d), p.policy.ClockSkew)
		}
	}
	p.doubted = known > 0 && off*2 >= known
	p.witnessed = known > 0 && !p.doubted
}

func aheadOf(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(time.Second).String() + " behind"
	}
	return d.Round(time.Second).String() + " ahead of"
}

// inFuture tells that a recorded time was written by a clock that was ahead: the replicas agree with today's clock and it
// has not come to that time yet.
func (p *planner) inFuture(t time.Time) bool { return p.witnessed && t.After(p.now.Add(p.margin())) }
