package tokenhttp

import (
	"maps"
	"testing"
	"time"
)

func TestLedgerCountsLiveTokens(t *testing.T) {
	var l ledger
	now := time.Unix(1_800_000_000, 0)
	for i, kid := range []string{"old", "old", "new"} {
		l.note(kid, now.Add(time.Duration(i+1)*time.Minute))
	}
	for _, row := range []struct {
		after time.Duration
		want  map[string]int64
	}{
		{0, map[string]int64{"old": 2, "new": 1}},
		{time.Minute + ledgerSpan, map[string]int64{"old": 1, "new": 1}},
		{2*time.Minute + ledgerSpan, map[string]int64{"new": 1}},
		{time.Hour, map[string]int64{}},
	} {
		if got := l.live(now.Add(row.after)); !maps.Equal(got, row.want) {
			t.Errorf("after %s: %v, want %v", row.after, got, row.want)
		}
	}
	if len(l.living) != 0 {
		t.Errorf("%d keys are remembered of which no token lives", len(l.living))
	}
	if want := now.Add(3 * time.Minute); !l.last().Equal(want) {
		t.Errorf("the latest expiry is %s, want %s", l.last(), want)
	}
}
