package promql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
)

// at is the instant at which the alerts are asked. The samples begin at 0 and are a minute apart.
const at = 2 * time.Hour

// A row is a story: series, in the notation of Prometheus's own tests, and the alerts that they must fire, with the
// namespace that the alert names. All other alerts must stay silent.
type row struct {
	name   string
	series string
	fires  map[string]string
}

const set = `{namespace="demo",name="main"}`

// calm is a system in order. A story replaces some of its series.
const calm = `
keyturn_signingkeyset_epoch{namespace="demo",name="main"} 7x240
keyturn_signingkeyset_keys{namespace="demo",name="main",state="Active"} 1x240
keyturn_signingkeyset_keys{namespace="demo",name="main",state="Published"} 1x240
keyturn_signingkeyset_keys{namespace="demo",name="main",state="Pending"} 0x240
keyturn_signingkeyset_standby_keys{namespace="demo",name="main"} 1x240
keyturn_signingkeyset_replicas{namespace="demo",name="main"} 3x240
keyturn_signingkeyset_replicas_loaded{namespace="demo",name="main"} 3x240
keyturn_signingkeyset_condition{namespace="demo",name="main",condition="Ready"} 1x240
keyturn_signingkeyset_condition{namespace="demo",name="main",condition="RotationOverdue"} 0x240
keyturn_signingkeyset_condition{namespace="demo",name="main",condition="ClockSkewed"} 0x240
keyturn_signingkeyset_condition{namespace="demo",name="main",condition="RestoreDetected"} 0x240
keyturn_signingkeyset_condition{namespace="demo",name="main",condition="KeyMaterialLost"} 0x240
keyturn_revocation_pending_since_timestamp_seconds{namespace="demo",name="leaked"} _x120 7190 stale
keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="enforced"} 0+1x240
keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="failed"} 0x240
keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="not_enforced"} 0x240
keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="wrong_policy"} 0x240
keyturn_snapshot_refused{namespace="demo",pod="edge-0"} 0x240
keyturn_ready{namespace="demo",pod="edge-0"} 1x240
keyturn_revocations_stale{namespace="demo",pod="edge-0"} 0x240
keyturn_store_reachable{namespace="demo",pod="ts-0"} 1x240
keyturn_refreshes_total{namespace="demo",pod="ts-0",result="late"} 0x240
keyturn_refreshes_total{namespace="demo",pod="ts-0",result="replayed"} 0x240
keyturn_refreshes_total{namespace="demo",pod="ts-0",result="rotated"} 0+100x240
keyturn_logins_total{namespace="demo",pod="ts-0",result="ok"} 0+100x240
keyturn_logins_total{namespace="demo",pod="ts-0",result="denied"} 0+5x240
keyturn_logins_total{namespace="demo",pod="ts-0",result="unavailable"} 0x240
keyturn_panics_total{namespace="demo",pod="ts-0"} 0x240
keyturn_rollout_changes_total{namespace="demo",name="web",change="Promoted"} 0x60 1x180
keyturn_rollout_changes_total{namespace="demo",name="web",change="RolledBack"} 0x240
keyturn_rollout_changes_total{namespace="demo",name="web",change="Recovered"} 0x240
keyturn_rollout_guard_failures{namespace="demo",name="web"} 0x240
keyturn_rollout_guard{namespace="demo",name="web",state="NoData"} 0x240
keyturn_rollout_guard{namespace="demo",name="web",state="NoBaseline"} 0x240
keyturn_rollout_guard{namespace="demo",name="web",state="Passed"} 1x240
keyturn_rollout_replicas{namespace="demo",name="web"} 3x240
keyturn_rollout_replicas_loaded{namespace="demo",name="web"} 3x240
keyturn_rollout_waiting{namespace="demo",name="web",reason="Baking"} 1x240
keyturn_rollout_waiting{namespace="demo",name="web",reason="Paused"} 0x240
keyturn_rollout_waiting{namespace="demo",name="web",reason="AwaitingApproval"} 0x240
keyturn_rollout_waiting{namespace="demo",name="web",reason="Held"} 0x240
keyturn_rollout_sunset_waiting{namespace="demo",name="web",reason="LegacyTraffic"} 0x240
keyturn_rollout_sunset_waiting{namespace="demo",name="web",reason="NoCensus"} 0x240
keyturn_decisions_total{namespace="demo",pod="edge-0",reason="valid"} 0+1000x240
keyturn_decisions_total{namespace="demo",pod="edge-0",reason="legacy_session_sunset"} 0+5x240
`

var rows = []row{
	{"in order", "", nil},
	{"overdue", `keyturn_signingkeyset_condition{namespace="demo",name="main",condition="RotationOverdue"} 1x240`, map[string]string{"KeyturnRotationOverdue": "demo"}},
	{"no standby", `keyturn_signingkeyset_keys{namespace="demo",name="main",state="Published"} 0x240`, map[string]string{"KeyturnStandbyMissing": "demo"}},
	{"no standby wanted", "keyturn_signingkeyset_keys{namespace=\"demo\",name=\"main\",state=\"Published\"} 0x240\nkeyturn_signingkeyset_standby_keys" + set + " 0x240", nil},
	{"in preparation: no replica yet", "keyturn_signingkeyset_keys{namespace=\"demo\",name=\"main\",state=\"Published\"} 0x240\n" +
		"keyturn_signingkeyset_keys{namespace=\"demo\",name=\"main\",state=\"Active\"} 0x240\n" +
		"keyturn_signingkeyset_replicas" + set + " 0x240\nkeyturn_signingkeyset_replicas_loaded" + set + " 0x240", nil},
	{"nothing signs", `keyturn_signingkeyset_keys{namespace="demo",name="main",state="Active"} 0x240`, map[string]string{"KeyturnNoActiveKey": "demo"}},
	{"key lost", `keyturn_signingkeyset_condition{namespace="demo",name="main",condition="KeyMaterialLost"} 1x240`, map[string]string{"KeyturnKeyMaterialLost": "demo"}},
	{"clock", `keyturn_signingkeyset_condition{namespace="demo",name="main",condition="ClockSkewed"} 1x240`, map[string]string{"KeyturnClockSkewed": "demo"}},
	{"a revocation waits", `keyturn_revocation_pending_since_timestamp_seconds{namespace="demo",name="leaked"} _x110 6600x20 stale`, map[string]string{"KeyturnRevocationPending": "demo"}},
	{"a revocation took a moment", `keyturn_revocation_pending_since_timestamp_seconds{namespace="demo",name="leaked"} _x118 7080 stale`, nil},
	{"a route is open", `keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="not_enforced"} 0x110 0+1x130`, map[string]string{"KeyturnRouteNotEnforced": "demo"}},
	{"a probe found another policy once", `keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="wrong_policy"} 0x118 1x122`, nil},
	{"an ingress is down", `keyturn_accesspolicy_probes_total{namespace="demo",name="orders",verdict="failed"} 0+1x240`, nil},
	{"restored", `keyturn_signingkeyset_condition{namespace="demo",name="main",condition="RestoreDetected"} 1x240`, map[string]string{"KeyturnRestoreDetected": "demo"}},
	{"a laggard", `keyturn_signingkeyset_replicas_loaded{namespace="demo",name="main"} 2x240`, map[string]string{"KeyturnReplicasNotAcknowledging": "demo"}},
	{"manager gone", `keyturn_signingkeyset_epoch{namespace="demo",name="main"} 7x90 _x150`, map[string]string{"KeyturnManagerGone": ""}},
	{"manager uninstalled long ago", `keyturn_signingkeyset_epoch{namespace="demo",name="main"} 7x30 _x210`, nil},
	{"refused", `keyturn_snapshot_refused{namespace="demo",pod="edge-0"} 1x240`, map[string]string{"KeyturnSnapshotRefused": "demo"}},
	{"not ready", `keyturn_ready{namespace="demo",pod="edge-0"} 0x240`, map[string]string{"KeyturnReplicaNotReady": "demo"}},
	{"stale", `keyturn_revocations_stale{namespace="demo",pod="edge-0"} 1x240`, map[string]string{"KeyturnEdgeRevocationsStale": "demo"}},
	{"store", `keyturn_store_reachable{namespace="demo",pod="ts-0"} 0x240`, map[string]string{"KeyturnStoreUnreachable": "demo"}},
	{"reuse spike", `keyturn_refreshes_total{namespace="demo",pod="ts-0",result="replayed"} 0x110 0+3x130`, map[string]string{"KeyturnRefreshReuseSpike": "demo"}},
	{"a few reused", `keyturn_refreshes_total{namespace="demo",pod="ts-0",result="late"} 0x110 0 1 2 3x127`, nil},
	{"passwords guessed", `keyturn_logins_total{namespace="demo",pod="ts-0",result="denied"} 0+300x240`, map[string]string{"KeyturnLoginFailures": "demo"}},
	{"logins fail", `keyturn_logins_total{namespace="demo",pod="ts-0",result="unavailable"} 0+10x240`, map[string]string{"KeyturnLoginsUnavailable": "demo"}},
	{"panic", `keyturn_panics_total{namespace="demo",pod="ts-0"} 0x115 1x125`, map[string]string{"KeyturnPanics": "demo"}},
	{"rolled back", `keyturn_rollout_changes_total{namespace="demo",name="web",change="RolledBack"} 0x100 1x140`, map[string]string{"KeyturnRolloutRolledBack": "demo"}},
	{"rolled back long ago", `keyturn_rollout_changes_total{namespace="demo",name="web",change="RolledBack"} 0x30 1x210`, nil},
	{"a status was lost", `keyturn_rollout_changes_total{namespace="demo",name="web",change="Recovered"} 0x100 1x140`, map[string]string{"KeyturnRolloutRecovered": "demo"}},
	{"the guard fails", `keyturn_rollout_guard_failures{namespace="demo",name="web"} 0x100 1x140`, map[string]string{"KeyturnRolloutGuardFailing": "demo"}},
	{"no data", `keyturn_rollout_guard{namespace="demo",name="web",state="NoData"} 0x50 1x190`, map[string]string{"KeyturnRolloutNoData": "demo"}},
	{"no baseline", `keyturn_rollout_guard{namespace="demo",name="web",state="NoBaseline"} 0x50 1x190`, map[string]string{"KeyturnRolloutNoBaseline": "demo"}},
	{"a step is not everywhere", `keyturn_rollout_replicas_loaded{namespace="demo",name="web"} 3x100 2x140`, map[string]string{"KeyturnRolloutReplicasLagging": "demo"}},
	{"held", `keyturn_rollout_waiting{namespace="demo",name="web",reason="Held"} 0x10 1x230`, map[string]string{"KeyturnRolloutStuck": "demo"}},
	{"nobody approves", `keyturn_rollout_waiting{namespace="demo",name="web",reason="AwaitingApproval"} 1x240`, map[string]string{"KeyturnRolloutStuck": "demo"}},
	{"paused on purpose", `keyturn_rollout_waiting{namespace="demo",name="web",reason="Paused"} 1x240`, nil},
	{"the sunset waits", `keyturn_rollout_sunset_waiting{namespace="demo",name="web",reason="LegacyTraffic"} 0x20 1x220`, map[string]string{"KeyturnSunsetWaits": "demo"}},
	{"nobody counted", `keyturn_rollout_sunset_waiting{namespace="demo",name="web",reason="NoCensus"} 1x240`, map[string]string{"KeyturnSunsetWaits": "demo"}},
	{"sessions after the sunset", `keyturn_decisions_total{namespace="demo",pod="edge-0",reason="legacy_session_sunset"} 0+50x240`, map[string]string{"KeyturnLegacyTrafficAfterSunset": "demo"}},
}

// TestAlerts runs every alert against every story, and wants each alert to have one that fires it.
func TestAlerts(t *testing.T) {
	all, fired := alerts(t), map[string]bool{}
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 100000)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			storage := promqltest.LoadedStorage(t, "load 1m\n"+indent(story(r.series)))
			for _, rule := range all {
				query, err := engine.NewInstantQuery(t.Context(), storage, nil, rule.Expr, time.Unix(0, 0).Add(at))
				if err != nil {
					t.Fatalf("%s: %v", rule.Alert, err)
				}
				vector, err := query.Exec(t.Context()).Vector()
				if err != nil {
					t.Fatalf("%s: %v", rule.Alert, err)
				}
				namespace, wanted := r.fires[rule.Alert]
				if wanted {
					fired[rule.Alert] = true
				}
				if wanted != (len(vector) == 1) {
					t.Errorf("%s gives %v, want it to fire: %v", rule.Alert, vector, wanted)
				} else if wanted && vector[0].Metric.Get("namespace") != namespace {
					t.Errorf("%s names %v, want namespace %q", rule.Alert, vector[0].Metric, namespace)
				}
				query.Close()
			}
		})
	}
	for _, rule := range all {
		if !fired[rule.Alert] {
			t.Errorf("no story fires %s", rule.Alert)
		}
	}
}

// story is calm with some series replaced.
func story(instead string) string {
	lines := strings.Split(strings.TrimSpace(calm), "\n")
	for _, other := range strings.Split(strings.TrimSpace(instead), "\n") {
		name, _, _ := strings.Cut(other, "}")
		replaced := other == ""
		for i := range lines {
			if strings.HasPrefix(lines[i], name+"}") {
				lines[i], replaced = other, true
			}
		}
		if !replaced {
			panic(fmt.Sprintf("%q replaces no series of the calm", other))
		}
	}
	return strings.Join(lines, "\n")
}

func indent(series string) string { return "  " + strings.ReplaceAll(series, "\n", "\n  ") + "\n" }
