//go:build realnode && linux

package rehearsal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/stage"
)

// testUpgrade changes the release while users call: two managers instead of one, each with another annotation.
func testUpgrade(t *testing.T) {
	settle(t)
	stop := load(t, time.Second)
	began := time.Now()
	args := slices.Concat([]string{"upgrade"}, stage.Release, []string{"--set", "replicas=2", "--set-string", "podAnnotations.upgraded=yes"})
	if _, err := theStage.Helm(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	l := stop()
	wantNoneRefused(t, l)
	figure("chart upgraded to two managers", "%.1f s, %s", took.Seconds(), sum(l))
}

// testUninstall takes the operator away: users, keys and running services stay.
func testUninstall(t *testing.T) {
	secrets := func() string {
		return kubectl(t, "get", "secrets", "-n", stage.Namespace, "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}`)
	}
	before := secrets()
	stop := load(t, time.Second)
	if _, err := theStage.Helm(t.Context(), "uninstall", "keyturn", "--namespace", "keyturn-system", "--wait"); err != nil {
		t.Fatal(err)
	}
	testJourney(t)
	l := stop()
	wantNoneRefused(t, l)
	if after := secrets(); after != before || !strings.Contains(before, stage.KeySet+"-ring ") {
		t.Errorf("the Secrets before the uninstall\n%sand after it\n%s", before, after)
	}
	figure("chart uninstalled, users and keys stay", "%s", sum(l))
}
