package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/secret"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

func TestSecretsDoNotPrint(t *testing.T) {
	const canary = "canary-4711"
	type holder struct {
		B secret.Bytes
		T secret.Text
		p *secret.Text
	}
	text := secret.NewText(canary)
	h := holder{B: secret.New([]byte(canary)), T: text, p: &text}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+"\n", h, h.B, h.T, &h)
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "b", h.B, "t", h.T, "h", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "b", h.B, "t", h.T, "h", h)
	out.Write(log.Bytes())
	all := out.String()
	for _, leak := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("%v", []byte(canary))} {
		if strings.Contains(all, leak) {
			t.Errorf("printed %q:\n%s", leak, all)
		}
	}
	if !strings.Contains(all, secret.Redacted) {
		t.Errorf("nothing says %q:\n%s", secret.Redacted, all)
	}
}

func TestRevealAndEqual(t *testing.T) {
	var in struct {
		B secret.Bytes
		T secret.Text
	}
	if err := json.Unmarshal([]byte(`{"B":{"kty":"oct"},"T":"pass"}`), &in); err != nil {
		t.Fatal(err)
	}
	if got := string(in.B.Reveal()); got != `{"kty":"oct"}` {
		t.Errorf("B = %s", got)
	}
	if !in.T.Equal(secret.NewText("pass")) || in.T.Equal(secret.NewText("pasS")) || in.T.Empty() {
		t.Error("Text: Equal or Empty is wrong")
	}
	if !in.B.Equal(secret.New([]byte(`{"kty":"oct"}`))) || in.B.Equal(secret.Bytes{}) || !(secret.Bytes{}).Empty() {
		t.Error("Bytes: Equal or Empty is wrong")
	}
	if err := json.Unmarshal([]byte(`{"T":7}`), &in); err == nil || strings.Contains(err.Error(), "7") {
		t.Errorf("a number as text: %v", err)
	}
}
