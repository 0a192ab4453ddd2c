package rollout

import "math"

// confidence is the quantile of the normal distribution for 99 %, one-sided.
const confidence = 2.326

// leastIncrease is the lower end of the interval of the difference of two rates (Newcombe 1998, method 10): sound for
// rates near zero, where the textbook's interval is not.
func leastIncrease(cohort, control Counts) float64 {
	low, _ := interval(cohort)
	_, high := interval(control)
	p1, p2 := cohort.Rate(), control.Rate()
	return p1 - p2 - math.Hypot(p1-low, high-p2)
}

// interval is Wilson's score interval of a rate (Wilson 1927).
func interval(c Counts) (low, high float64) {
	if c.Events == 0 {
		return 0, 1
	}
	n, p := float64(c.Events), c.Rate()
	const z2 = confidence * confidence
	middle := (p + z2/(2*n)) / (1 + z2/n)
	half := confidence / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}
