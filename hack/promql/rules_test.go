package promql

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

var root = filepath.Join("..", "..")

type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

// alerts are the rules of the chart.
func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	raw := read(t, "charts", "keyturn", "files", "rules.yaml")
	if err := yaml.Unmarshal([]byte(raw), &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatal("the chart has no rules")
	}
	return out
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// documented are the metrics of docs/metrics.md: the first cell of each row of its tables.
func documented(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(keyturn_[a-z_]+)`").FindAllStringSubmatch(read(t, "docs", "metrics.md"), -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		t.Fatal("docs/metrics.md lists no metrics")
	}
	return out
}

// expectKnown fails t when an expression cannot be read, or asks for a metric that nobody exposes.
func expectKnown(t *testing.T, where, expr string, known []string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, expr)
		return
	}
	found := 0
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			found++
			name := selector.Name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if !slices.Contains(known, name) {
				t.Errorf("%s asks for %s, which docs/metrics.md does not list", where, selector.Name)
			}
		}
		return nil
	})
	if found == 0 {
		t.Errorf("%s asks for no metric", where)
	}
}

func TestRulesAsk(t *testing.T) {
	known := documented(t)
	seen := map[string]bool{}
	for _, r := range alerts(t) {
		expectKnown(t, r.Alert, r.Expr, known)
		if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Keyturn") {
			t.Errorf("%q is taken, or does not begin with Keyturn", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, a summary or a description", r.Alert)
		}
	}
}

func TestDashboardAsks(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			ID          int
			Title, Type string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(read(t, "charts", "keyturn", "files", "dashboards", "keyturn.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	known, ids, all := documented(t), map[int]bool{}, ""
	// What Grafana puts in place of its variables.
	variables := strings.NewReplacer("$__rate_interval", "5m", "$namespace", "demo")
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			expectKnown(t, "panel "+p.Title, variables.Replace(target.Expr), known)
			all += target.Expr
		}
	}
	for _, metric := range []string{
		"keyturn_signingkeyset_active_since_timestamp_seconds", "keyturn_signingkeyset_transitions_total", "keyturn_logins_total",
		`result=~"late|replayed"`, "keyturn_decisions_total", "keyturn_check_duration_seconds_bucket",
	} {
		if !strings.Contains(all, metric) {
			t.Errorf("no panel shows %s", metric)
		}
	}
}
