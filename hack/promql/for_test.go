package promql

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// TestFor runs each alert that waits as Prometheus does, from a moment at which it begins to be true: it is pending until its
// `for` has passed, and fires at that instant. Whatever ends before fires nothing.
func TestFor(t *testing.T) {
	waiting := 0
	for _, rule := range alerts(t) {
		if rule.For == "" {
			continue
		}
		waiting++
		t.Run(rule.Alert, func(t *testing.T) {
			hold, err := model.ParseDuration(rule.For)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if _, fires := r.fires[rule.Alert]; fires {
					runFor(t, rule, time.Duration(hold), r)
					return
				}
			}
			t.Fatal("no story fires it")
		})
	}
	if waiting < 10 {
		t.Errorf("only %d alerts wait: the test sees too few", waiting)
	}
}

// runFor looks at an alert once a minute; where it waits for longer than the stories last, their samples are farther apart.
func runFor(t *testing.T, rule rule, hold time.Duration, r row) {
	t.Helper()
	every := time.Minute
	if hold > time.Hour {
		every = 10 * time.Minute
	}
	if hold%every != 0 {
		t.Fatalf("for %s is no multiple of %s", hold, every)
	}
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 100000)
	storage := promqltest.LoadedStorage(t, fmt.Sprintf("load %s\n%s", model.Duration(every), indent(story(r.series))))
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	alert := rules.NewAlertingRule(rule.Alert, expr, hold, 0, labels.FromMap(rule.Labels), labels.EmptyLabels(), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	var began time.Time
	for at := time.Unix(0, 0); at.Before(time.Unix(0, 0).Add(239 * every)); at = at.Add(every) {
		if _, err := alert.Eval(t.Context(), 0, at, rules.EngineQueryFunc(engine, storage), nil, 0); err != nil {
			t.Fatal(err)
		}
		active := alert.ActiveAlerts()
		if len(active) == 0 {
			if !began.IsZero() && at.Sub(began) < hold {
				began = time.Time{} // it came and went
			}
			continue
		}
		if began.IsZero() {
			began = at
		}
		want := rules.StatePending
		if at.Sub(began) >= hold {
			want = rules.StateFiring
		}
		if active[0].State != want {
			t.Fatalf("after %s of %s it is %s, want %s", at.Sub(began), hold, active[0].State, want)
		}
		if want == rules.StateFiring {
			return
		}
	}
	t.Fatalf("it never fires; true since %s", began)
}
