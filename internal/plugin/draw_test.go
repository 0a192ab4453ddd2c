package plugin

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

var (
	fineScreen   = Screen{Width: 100, Unicode: true}
	plainScreen  = Screen{Width: 80}
	paintScreen  = Screen{Width: 100, Unicode: true, Colour: true, Terminal: true}
	narrowScreen = Screen{Width: 60, Unicode: true}
)

func TestKeysGolden(t *testing.T) {
	for _, row := range []struct {
		name   string
		set    *v1alpha1.SigningKeySet
		screen Screen
		wide   bool
	}{
		{"keys-settled", settledSet(), fineScreen, false},
		{"keys-rotated", rotatedSet(), fineScreen, false},
		{"keys-rotated-ascii", rotatedSet(), plainScreen, false},
		{"keys-rotated-colour", rotatedSet(), paintScreen, false},
		{"keys-rotated-wide", rotatedSet(), Screen{Width: 160, Unicode: true}, true},
		{"keys-stuck", stuckSet(), fineScreen, false},
		{"keys-stuck-narrow", stuckSet(), narrowScreen, false},
		{"keys-new", newSet(), fineScreen, false},
		{"keys-manual", manualSet(), fineScreen, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			report := NewSetReport(row.set)
			got := drawSets(row.screen, []SetReport{report}, row.wide, now)
			golden(t, row.name, got)
			if row.screen.Unicode {
				return
			}
			for _, r := range got {
				if r > 126 {
					t.Fatalf("%q on a screen of plain ASCII", r)
				}
			}
		})
	}
}

func TestStatusGolden(t *testing.T) {
	sets, services, policies := []v1alpha1.SigningKeySet{*settledSet()}, []v1alpha1.TokenService{*healthyService()}, []v1alpha1.TokenPolicy{*webPolicy()}
	stuck, troubled := []v1alpha1.SigningKeySet{*stuckSet()}, []v1alpha1.TokenService{*troubledService()}
	unseenService, unseenPolicy := *healthyService(), *webPolicy()
	unseenService.Status, unseenPolicy.Status = v1alpha1.TokenServiceStatus{}, v1alpha1.TokenPolicyStatus{}
	warned := *settledSet()
	warned.Status.Conditions[2] = condition("StandbyReady", "False", "StandbyDisabled", "spec.rotation.standbyKeys is 0: if the active key leaks, a new one must first be published")
	for _, row := range []struct {
		name   string
		report StatusReport
		screen Screen
		wide   bool
	}{
		{"status-good", NewStatusReport("demo", sets, services, policies), fineScreen, false},
		{"status-good-wide", NewStatusReport("demo", sets, services, policies), Screen{Width: 160, Unicode: true}, true},
		{"status-troubled", NewStatusReport("demo", stuck, troubled, policies), fineScreen, false},
		{"status-troubled-ascii", NewStatusReport("demo", stuck, troubled, policies), plainScreen, false},
		{"status-troubled-colour", NewStatusReport("demo", stuck, troubled, policies), paintScreen, false},
		{"status-warned", NewStatusReport("demo", []v1alpha1.SigningKeySet{warned}, services, policies), fineScreen, false},
		{"status-all", NewStatusReport("", append(sets, *manualSet()), services, policies), fineScreen, false},
		{"status-unseen", NewStatusReport("demo", []v1alpha1.SigningKeySet{*newSet()}, services, policies), fineScreen, false},
		{"status-no-manager", NewStatusReport("demo", []v1alpha1.SigningKeySet{*newSet()}, []v1alpha1.TokenService{unseenService}, []v1alpha1.TokenPolicy{unseenPolicy}), fineScreen, false},
		{"status-empty", NewStatusReport("demo", nil, nil, nil), fineScreen, false},
	} {
		t.Run(row.name, func(t *testing.T) { golden(t, row.name, drawStatus(row.screen, &row.report, row.wide, now)) })
	}
}

// TestColoursAreTheOnlyDifference holds the coloured screen to the plain one.
func TestColoursAreTheOnlyDifference(t *testing.T) {
	report := NewStatusReport("demo", []v1alpha1.SigningKeySet{*stuckSet()}, []v1alpha1.TokenService{*troubledService()}, nil)
	painted := drawStatus(paintScreen, &report, false, now)
	for _, colour := range []tone{good, bad, wary, calm, faint, strong} {
		painted = strings.ReplaceAll(painted, "\x1b["+string(colour)+"m", "")
	}
	if painted = strings.ReplaceAll(painted, "\x1b[0m", ""); painted != drawStatus(fineScreen, &report, false, now) {
		t.Errorf("without its colours, the screen is\n%s", painted)
	}
}

// TestHostileText shows that a message or a name cannot steer the terminal.
func TestHostileText(t *testing.T) {
	set := stuckSet()
	set.Name = "main\x1b[2J"
	set.Status.Conditions[1].Message = "evil\x1b]0;title\x07\u202e\nnext: " + strings.Repeat("long ", 200)
	set.Status.NextTransition.BlockedBy = "\x1b[31mred\x1b[0m"
	set.Status.Keys[0].Kid = "\x1b[2Jkid"
	report := NewStatusReport("demo", []v1alpha1.SigningKeySet{*set}, nil, nil)
	for _, text := range []string{drawStatus(fineScreen, &report, true, now), drawSets(fineScreen, report.Sets, true, now)} {
		if strings.ContainsAny(text, "\x1b\x07\u202e") {
			t.Errorf("control characters reach the terminal: %q", text)
		}
	}
}
