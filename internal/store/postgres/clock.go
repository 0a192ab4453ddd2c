package postgres

import (
	"math"
	"time"
)

// never is how the zero time is kept, so that it sorts before all others.
const never = math.MinInt64

var (
	earliest = time.Unix(0, math.MinInt64+1)
	latest   = time.Unix(0, math.MaxInt64)
)

// nanoseconds keeps a time exactly, within the years 1678 to 2261.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.IsZero():
		return never
	case t.Before(earliest):
		return never + 1
	case t.After(latest):
		return math.MaxInt64
	default:
		return t.UnixNano()
	}
}

func timeOf(n int64) time.Time {
	if n == never {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// signed is a number as the database keeps it; it has 63 bits, which no counter reaches.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) } //nolint:gosec // bounded
