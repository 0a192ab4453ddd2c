package agent

import "testing"

func TestThreshold(t *testing.T) {
	for _, tt := range []struct {
		name             string
		success, failure int
		answers          string // + and -
		want             string // after each answer: . undecided, R ready, N not ready
	}{
		{"at once", 1, 1, "+-+", "RNR"},
		{"three failures", 1, 3, "+--+---+", "RRRRRRNR"},
		{"two successes", 2, 1, "+-++-", ".NNRN"},
		{"failure from the start", 1, 3, "---", "..N"},
		{"runs begin anew", 2, 2, "+-+-++--", ".....RRN"},
	} {
		th := threshold{success: tt.success, failure: tt.failure}
		got := ""
		for _, a := range tt.answers {
			th.observe(a == '+')
			switch {
			case !th.decided:
				got += "."
			case th.result:
				got += "R"
			default:
				got += "N"
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestThresholdDecidesAgainWithEveryFurtherFailure(t *testing.T) {
	th := threshold{success: 1, failure: 2}
	want := []bool{false, true, true}
	for i, w := range want {
		if got := th.observe(false); got != w {
			t.Errorf("failure %d decides: %v, want %v", i+1, got, w)
		}
	}
}
