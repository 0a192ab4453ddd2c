package plugin

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDetectScreen(t *testing.T) {
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer other.Close()
	for _, row := range []struct {
		env     map[string]string
		unicode bool
		width   int
	}{
		{nil, false, 80},
		{map[string]string{"LANG": "en_GB.UTF-8", "COLUMNS": "120"}, true, 120},
		{map[string]string{"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, false, 80},
		{map[string]string{"LC_CTYPE": "C.utf8", "COLUMNS": "10"}, true, 40},
		{map[string]string{"COLUMNS": "9999"}, false, 160},
		{map[string]string{"COLUMNS": "-3"}, false, 80},
	} {
		s := DetectScreen(other, func(name string) string { return row.env[name] })
		if s.Unicode != row.unicode || s.columns() != row.width || s.Colour || s.Terminal {
			t.Errorf("%v: %+v", row.env, s)
		}
	}
}

func TestParseFormat(t *testing.T) {
	for _, fine := range []string{"", "json", "yaml", "wide"} {
		if f, err := ParseFormat(fine); err != nil || string(f) != fine {
			t.Errorf("%s: %q, %v", fine, f, err)
		}
	}
	if _, err := ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "json, yaml or wide") {
		t.Errorf("xml: %v", err)
	}
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "zoë": 3, "zoe\u0308": 3, "山田": 4, "ｂｏｂ": 6} {
		if got := columnsOf(text); got != want {
			t.Errorf("%q takes %d columns, not %d", text, got, want)
		}
	}
}

func TestSteps(t *testing.T) {
	got := steps("do this and that, which is long: kubectl get a b c d e f g h i j k l m n o p; kubectl get q", 20)
	want := []string{"do this and that,", "which is long:", "kubectl get a b c d e f g h i j k l m n o p", "kubectl get q"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestTimelineStaysInside draws every state at every width: no line is longer than the screen, and the columns of now
// stand below each other.
func TestTimelineStaysInside(t *testing.T) {
	open := rotatedSet()
	open.Status.Keys[2].VerifyUntil = at(0)
	for _, set := range []*SetReport{ptr(NewSetReport(settledSet())), ptr(NewSetReport(rotatedSet())), ptr(NewSetReport(stuckSet())), ptr(NewSetReport(manualSet())), ptr(NewSetReport(open))} {
		for width := 40; width <= 160; width++ {
			lines := strings.Split(drawTimeline(Screen{Width: width}, set, now), "\n")
			bar := strings.Index(lines[0], "|")
			for i := range set.Keys {
				if len(lines[i]) > width || strings.Index(lines[i], "|") != bar {
					t.Fatalf("width %d: %q", width, lines[i])
				}
			}
			if len(lines[len(set.Keys)]) > width {
				t.Fatalf("width %d: axis %q", width, lines[len(set.Keys)])
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestTimelineWithoutTimes has a ring that was rebuilt: nobody knows when its keys began.
func TestTimelineWithoutTimes(t *testing.T) {
	r := NewSetReport(settledSet())
	for i := range r.Keys {
		r.Keys[i] = KeyReport{KID: r.Keys[i].KID, State: r.Keys[i].State}
	}
	if got := drawTimeline(fineScreen, &r, now); got != "" {
		t.Errorf("drawn: %s", got)
	}
}
