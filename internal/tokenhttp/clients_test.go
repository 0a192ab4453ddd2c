package tokenhttp

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestParseSecrets(t *testing.T) {
	a, b := strings.Repeat("a", MinSecretBytes), strings.Repeat("b", MaxSecretBytes)
	for content, want := range map[string]int{
		a: 1, a + "\n": 1, a + "\r\n": 1, "\n" + a + "\n\n": 1, a + "\n" + b: 2, a + "\r\n" + b + "\r\n": 2,
		"": 0, "\n": 0, a[1:]: 0, b + "b": 0, a + "\n" + b + "\n" + a: 0, a + "\nshort": 0,
		a + " ": 0, " " + a: 0, a[:20] + "\t" + a: 0, a + "\x00": 0, a + "é": 0, a + "\xff": 0,
	} {
		got, err := parseSecrets(content)
		if (err == nil) != (want > 0) || err == nil && len(*got) != want {
			t.Errorf("%.40q: %v, want %d", content, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "aaa") || strings.Contains(err.Error(), "bbb")) {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
}

func TestClientFiles(t *testing.T) {
	dir, log := t.TempDir(), &logBuffer{}
	files := NewClientFiles(dir, slog.New(slog.NewJSONHandler(log, nil)), time.Now)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = files.Run(ctx) }()
	defer func() { end(); <-done }()

	path := filepath.Join(dir, "orders", "secret")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	// until asks again and again, since a file is followed and not told about.
	until := func(what string, good func([]string, error) bool) {
		t.Helper()
		tick, limit := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
		defer tick.Stop()
		for {
			var all []string
			secrets, err := files.Secrets("orders")
			for _, s := range secrets {
				all = append(all, s.Reveal())
			}
			if good(all, err) {
				return
			}
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("%s: %v, %v", what, all, err)
			}
		}
	}
	first, second := strings.Repeat("f", 40), strings.Repeat("s", 40)
	until("no file", func(_ []string, err error) bool { return err != nil })
	write(first)
	until("one secret", func(all []string, _ error) bool { return len(all) == 1 && all[0] == first })
	write(first + "\n" + second)
	until("two secrets", func(all []string, _ error) bool { return len(all) == 2 && all[1] == second })
	write("canary")
	until("a refusal", func([]string, error) bool { return strings.Contains(log.String(), "openssl rand") })
	until("the last good one", func(all []string, _ error) bool { return len(all) == 2 })
	write(second)
	until("the new secret alone", func(all []string, _ error) bool { return len(all) == 1 && all[0] == second })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	until("no file again", func(_ []string, err error) bool { return err != nil })
	if strings.Contains(log.String(), "canary") || strings.Contains(log.String(), "ffff") {
		t.Errorf("the log quotes a secret:\n%s", log)
	}
	for _, id := range []string{"", "..", "../orders", "a/b", ".orders", "orders\x00"} {
		if _, err := files.Secrets(id); err == nil {
			t.Errorf("%q is taken for a client", id)
		}
	}
}

func TestClientsOfADocument(t *testing.T) {
	key := newKey(t)
	for name, clients := range map[string][]snapshot.Client{
		"no id":          {{Audiences: []string{"shop"}}},
		"a path":         {{ID: "../x", Audiences: []string{"shop"}}},
		"too long":       {{ID: strings.Repeat("x", 65), Audiences: []string{"shop"}}},
		"reserved":       {{ID: webClient, Audiences: []string{"shop"}}},
		"no audience":    {{ID: "orders"}},
		"empty one":      {{ID: "orders", Audiences: []string{""}}},
		"the same twice": {{ID: "orders", Audiences: []string{"shop"}}, {ID: "orders", Audiences: []string{"shop"}}},
	} {
		doc := issuerDocument(t, key)
		doc.Clients = clients
		if _, err := build(doc, nil); err == nil || !strings.Contains(err.Error(), "client") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
