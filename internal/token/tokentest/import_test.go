package tokentest

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

// A forger shares no code with what it tests.
func TestDependencies(t *testing.T) { deptest.StdlibOnly(t, "internal/policy") }

// No program that is shipped can forge.
func TestNotInAnyProgram(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../../cmd/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "keyturn/internal/token\n") {
		t.Fatal("the list does not name what the programs are made of")
	}
	if strings.Contains(string(out), "/tokentest") {
		t.Error("a program imports tokentest")
	}
}
