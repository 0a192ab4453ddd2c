package plugin

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/secret"
)

func TestPipedPassword(t *testing.T) {
	for _, row := range []struct{ in, want, trouble string }{
		{"secret word", "secret word", ""},
		{"secret word\n", "secret word", ""},
		{"secret word\r\n", "secret word", ""},
		{"  spaces count  \n", "  spaces count  ", ""},
		{"", "", ""},
		{"one\ntwo\n", "", "more than one line"},
		{"one\n\n", "", "more than one line"},
	} {
		got, err := PipedPassword{strings.NewReader(row.in)}.New("bob")
		if row.trouble != "" {
			if err == nil || !strings.Contains(err.Error(), row.trouble) {
				t.Errorf("%q: %v", row.in, err)
			}
		} else if err != nil || got.Reveal() != row.want {
			t.Errorf("%q: %q, %v", row.in, got.Reveal(), err)
		}
	}
	long, err := PipedPassword{strings.NewReader(strings.Repeat("x", 1<<20))}.New("bob")
	if err != nil || checkPassword(long) == nil || len(long.Reveal()) > 2000 {
		t.Errorf("a megabyte: %d bytes, %v", len(long.Reveal()), err)
	}
}

func TestTypedPassword(t *testing.T) {
	typed := func(lines ...string) func() ([]byte, error) {
		return func() ([]byte, error) {
			if len(lines) == 0 {
				return nil, errors.New("end of file")
			}
			line := lines[0]
			lines = lines[1:]
			return []byte(line), nil
		}
	}
	for _, row := range []struct {
		lines         []string
		want, trouble string
	}{
		{[]string{"same", "same"}, "same", ""},
		{[]string{"same", "other"}, "", "differ"},
		{[]string{"same"}, "", "end of file"},
	} {
		var prompt bytes.Buffer
		got, err := TypedPassword{Prompt: &prompt, read: typed(row.lines...)}.New("bob")
		if row.trouble == "" && (err != nil || got.Reveal() != row.want) || row.trouble != "" && (err == nil || !strings.Contains(err.Error(), row.trouble)) {
			t.Errorf("%v: %q, %v", row.lines, got.Reveal(), err)
		}
		if prompt.String() != "Password for bob: \nThe same again: \n" {
			t.Errorf("prompt: %q", &prompt)
		}
	}
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer other.Close()
	if _, err := (TypedPassword{Terminal: pipe, Prompt: &bytes.Buffer{}}).New("bob"); err == nil || !strings.Contains(err.Error(), "--password-stdin") {
		t.Errorf("without a terminal: %v", err)
	}
}

func TestWeakness(t *testing.T) {
	for password, want := range map[string]string{
		"short": "fewer than 8", "äöüäöüä": "fewer than 8", "Password123": "tried first", "zzzzzzzzzz": "one character", "1234509876": "short number",
		"alice2026": "the name", "correct horse battery": "", "äöüäöüäö": "", "alice in wonderland": "",
	} {
		if got := weakness("alice", secret.NewText(password)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", password, got)
		}
	}
}
