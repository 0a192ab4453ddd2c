package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test's program play the roles of the comparison, as the command does.
func TestMain(m *testing.M) {
	if playRole() {
		return
	}
	os.Exit(m.Run())
}

// TestBench runs every part with small counts. It judges the machinery, never the speed: machines that test are busy.
func TestBench(t *testing.T) {
	o := options{
		habits: habits{users: 50, think: 200 * time.Millisecond, renew: 500 * time.Millisecond, logins: 2, duration: 3 * time.Second},
		count:  counts{rounds: 1, signatures: 32, hashes: 2, checks: 160},
		edge: edgeCounts{rounds: 1, closed: 50 * time.Millisecond, open: 50 * time.Millisecond, rate: 200, flood: 400,
			sizes: edgeSizes{many: 60, unknown: 40, memory: 100}},
		parts:    strings.Join(allParts, ","),
		progress: func(text string) { t.Log(text) },
	}
	r, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.CPU {
		ratios := c.ratios()
		if len(ratios) != 1 || ratios[0] <= 0 || c.Own[0] <= 0 {
			t.Errorf("%s: %v µs against %v", c.Name, c.Own, c.Base)
		}
	}
	// A signature takes a part of a millisecond at least, whatever the machine.
	if refresh := r.CPU[1]; refresh.Limit != refreshRatio || median(refresh.Base) < 50 || median(refresh.Own) < 50 {
		t.Errorf("%+v", refresh)
	}
	for _, side := range []*crowdFigures{r.Keyturn, r.Null} {
		if side.All.Errors != 0 || side.FirstError != "" {
			t.Errorf("%d errors, the first: %s", side.All.Errors, side.FirstError)
		}
		for _, operation := range side.Rows {
			if operation.Count == 0 || operation.Mean <= 0 || operation.Max < operation.P99 || operation.P99 < operation.P50 {
				t.Errorf("%+v", operation)
			}
		}
		if want := int64(o.users + upstreams); side.Connections < int64(o.users) || side.Connections > want {
			t.Errorf("%d connections for %d users", side.Connections, o.users)
		}
		if side.TokenMemory < 1<<20 || side.EdgeMemory < 1<<20 || side.TokenCPU <= 0 {
			t.Errorf("%+v", side)
		}
	}
	checkEdge(t, r.Edge)
	if r.Keyturn.All.Count != r.Null.All.Count {
		t.Errorf("%d and %d operations: not the same load", r.Keyturn.All.Count, r.Null.All.Count)
	}
	path := filepath.Join(t.TempDir(), "figures.json")
	var read report
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(path); err != nil || json.Unmarshal(raw, &read) != nil || len(read.Bounds) != len(r.bounds()) {
		t.Errorf("the figures as JSON: %v", err)
	}
	var table strings.Builder
	r.print(&table)
	for _, want := range []string{"refresh, 16 at once", "edge check", "peak memory", "Keyturn against the bare servers", ownGRPC, jwxGRPC, setMixed, "of unknown kids", "the load itself was late by"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "not measured") {
		t.Error("every part ran, and something was not measured")
	}
}

// checkEdge holds the comparison of the edge to having taken place, and every decision to being right.
func checkEdge(t *testing.T, f *edgeFigures) {
	t.Helper()
	if f.Wrong != 0 || f.First != "" || f.Decisions < 200 || f.Cached < 100 || f.Memory < 1<<20 || len(f.Flooded) != 1 || len(f.Rows) != 15 {
		t.Errorf("%+v", f)
	}
	if len(f.Late) < 14 || quantile(f.Late, 0) <= 0 { // six rows and four beside a flood or without, of which the warming round has four too
		t.Errorf("how late the load was: %v", f.Late)
	}
	for _, row := range f.Rows {
		paced := row.Server == ownGRPC || row.Server == bareGRPC
		if len(row.CPU) != 1 || row.CPU[0] <= 0 || row.PerSecond[0] <= 0 || paced != (len(row.P99) == 1) || paced && row.P99[0] < row.P50[0] {
			t.Errorf("%+v", row)
		}
	}
}

// A server that lets everybody through, or nobody, is noticed.
func TestWrongDecisionsAreCounted(t *testing.T) {
	items := []item{{Token: "good", Allow: true, Want: "ann"}, {Token: "bad", Want: "invalid_token"}}
	for name, c := range map[string]struct {
		tag     int
		allowed bool
		text    string
		wrong   int
	}{
		"right": {0, true, "ann", 0}, "another user": {0, true, "bob", 1}, "refused": {0, false, "ann", 1},
		"rightly refused": {1, false, "invalid_token", 0}, "let through": {3, true, "invalid_token", 1}, "another reason": {3, false, "expired", 1},
	} {
		r := &running{flow: flow{Judge: true}, items: items}
		r.judge(c.tag, c.allowed, []byte(c.text))
		if r.wrong.Wrong != c.wrong {
			t.Errorf("%s: %+v", name, r.wrong)
		}
	}
}

// What the documentation promises is what the program judges by.
func TestBoundsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## Bounds\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var documented []string
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) >= 4 {
			documented = append(documented, strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[2]))
		}
	}
	var judged []string
	for _, b := range new(report).bounds() {
		judged = append(judged, b.What+": "+b.Limit)
	}
	if !found || len(documented) < 2 || !slices.Equal(documented[2:], judged) {
		t.Errorf("docs/performance.md says\n%s\nthe program\n%s", strings.Join(documented, "\n"), strings.Join(judged, "\n"))
	}
}

func TestBrokenBounds(t *testing.T) {
	good := func() *report {
		return &report{
			CPU:     []*comparison{{Own: []float64{1.2, 9, 1.2}, Base: []float64{1, 1, 1}, Limit: refreshRatio}},
			Keyturn: &crowdFigures{All: row{Count: 1, Mean: 1, P99: 1}, TokenMemory: 1},
			Edge:    goodEdge(),
		}
	}
	if err := good().broken(); err != nil {
		t.Error(err)
	}
	for what, spoil := range map[string]func(*report){
		"signature":                func(r *report) { r.CPU[0].Own[0] = 1.3 },
		"failed":                   func(r *report) { r.Keyturn.All.Errors = 1 },
		"Mean":                     func(r *report) { r.Keyturn.All.Mean = meanBound },
		"99th":                     func(r *report) { r.Keyturn.All.P99 = latencyBound },
		"Peak memory of the token": func(r *report) { r.Keyturn.TokenMemory = memoryBound },
		"gRPC check, one hot":      func(r *report) { r.Edge.row(ownGRPC, setHot).CPU[0] = 56 },
		"gRPC check, distinct":     func(r *report) { r.Edge.row(ownGRPC, setMany).CPU[0] = 71 },
		"gRPC check, 5 %":          func(r *report) { r.Edge.row(ownGRPC, setMixed).CPU[0] = 76 },
		"HTTP check":               func(r *report) { r.Edge.row(ownHTTP, setHot).CPU[0] = 131 },
		"percentile of gRPC":       func(r *report) { r.Edge.row(ownGRPC, setMany).P99[0] = 1.4 },
		"flood":                    func(r *report) { r.Edge.Flooded[0] = 2.1 },
		"wrong":                    func(r *report) { r.Edge.Wrong = 1 },
		"memory of the edge":       func(r *report) { r.Edge.Memory = cachedBound },
	} {
		r := good()
		spoil(r)
		if err := r.broken(); err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// goodEdge keeps every bound.
func goodEdge() *edgeFigures {
	f := &edgeFigures{Calm: []float64{1}, Flooded: []float64{1.9}, Decisions: 1, Memory: 1}
	for _, set := range []string{setHot, setMany, setMixed} {
		for server, cpu := range map[string]float64{ownGRPC: 50, bareGRPC: 100, ownHTTP: 120, bareHTTP: 100} {
			f.Rows = append(f.Rows, &edgeRow{Server: server, Set: set, CPU: []float64{cpu}, PerSecond: []float64{1}, P50: []float64{1}, P99: []float64{1}})
		}
	}
	return f
}

func TestParse(t *testing.T) {
	for raw, want := range map[string]struct {
		status int
		whole  bool
		bad    bool
	}{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":            {200, true, false},
		"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n":              {503, true, false},
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok":            {200, false, false},
		"HTTP/1.1 200 OK\r\nContent-Le":                             {0, false, false},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0":    {200, false, true},
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok":            {200, false, true},
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nok":     {200, false, true},
		"SSH-2.0-OpenSSH_9.2 some text that is quite long\r\n\r\nx": {0, false, true},
	} {
		a, whole, err := parse([]byte(raw))
		if whole != want.whole || (err != nil) != want.bad || whole && a.status != want.status {
			t.Errorf("%q: %d %v %v", raw, a.status, whole, err)
		}
	}
	body := []byte(`{"access_token":"a.b.c","refresh_token":""}`)
	if member(body, "access_token") != "a.b.c" || member(body, "refresh_token") != "" || member(body, "code") != "" {
		t.Error("members")
	}
}

func TestQuantile(t *testing.T) {
	values := []int{50, 10, 40, 20, 30, 60, 70, 80, 90, 100}
	for q, want := range map[float64]int{0: 10, 0.5: 50, 0.9: 90, 0.99: 100, 1: 100} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v: %d, want %d", q, got, want)
		}
	}
	if values[0] != 50 || median([]int(nil)) != 0 {
		t.Error("the values were moved, or none have a median")
	}
}
