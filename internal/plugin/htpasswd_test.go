package plugin

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/identity"
)

func TestListPut(t *testing.T) {
	for _, row := range []struct{ name, before, account, value, want string }{
		{"empty", "", "bob", "B", "bob:B\n"},
		{"append", "alice:A\n", "bob", "B", "alice:A\nbob:B\n"},
		{"append without a last line end", "alice:A", "bob", "B", "alice:A\nbob:B\n"},
		{"append in a file of CRLF", "alice:A\r\n", "bob", "B", "alice:A\r\nbob:B\r\n"},
		{"change", "alice:A\nbob:B\ncarol:C\n", "bob", "X", "alice:A\nbob:X\ncarol:C\n"},
		{"change keeps CRLF", "alice:A\r\nbob:B\r\n", "alice", "X", "alice:X\r\nbob:B\r\n"},
		{"change of the last line without an end", "alice:A\nbob:B", "bob", "X", "alice:A\nbob:X"},
		{"comments and unknown lines stay", "# staff\n\nwhat is this\n#bob:B\n:none\nbob:B\n  \n", "bob", "X", "# staff\n\nwhat is this\n#bob:B\n:none\nbob:X\n  \n"},
		{"a prefix is another user", "bobby:B\n", "bob", "X", "bobby:B\nbob:X\n"},
		{"case counts", "Bob:B\n", "bob", "X", "Bob:B\nbob:X\n"},
		{"the spelling of the line stays", "ｂｏｂ:B\n", "bob", "X", "ｂｏｂ:X\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := list(row.before).put(row.account, row.value)
			if err != nil || string(got) != row.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if _, err := list("bob:A\nbob:B\n").put("bob", "X"); err == nil || !strings.Contains(err.Error(), "lines 1 and 2") {
		t.Errorf("two lines of one account: %v", err)
	}
}

func TestListRemove(t *testing.T) {
	before := list("# bob:x\nbob:B\nalice:A\nｂｏｂ:C\nbobby:D")
	if got := before.remove("bob"); got != "# bob:x\nalice:A\nbobby:D" {
		t.Errorf("got %q", got)
	}
	if got := before.remove("nobody"); got != before {
		t.Errorf("removing nobody changes the list: %q", got)
	}
}

func TestAccountOf(t *testing.T) {
	users, roles := list("alice:A\nｂｏｂ:B\nǅ:C\n"), list("carol: admin\nＡｌｉｃｅ: x\n")
	for _, row := range []struct{ name, want, trouble string }{
		{"alice", "alice", ""},
		{"dave", "dave", ""},
		{"ｄａｖｅ", "dave", ""},
		{"ａlice", "", `another spelling of "alice"`},
		{"bob", "", `another spelling of "ｂｏｂ"`},
		{"ｂｏｂ", "bob", ""},
		{"ｃarol", "", `another spelling of "carol"`},
		{"Alice", "", "another spelling"},
		{"a:b", "", "colon"},
		{"a：b", "", "no colon"}, // the full-width colon folds to one
		{"a\nb", "", "line end"},
		{"a\r", "", "line end"},
		{"#a", "", "comment"},
		{"＃a", "", "user name"},
		{"", "", "1 to 256"},
		{" a", "", "no space"},
		{"a\u200b", "", "printable"},
		{"a\x00", "", "printable"},
		{strings.Repeat("a", 257), "", "1 to 256"},
	} {
		got, err := accountOf(row.name, users, roles)
		switch {
		case row.trouble == "" && (err != nil || got != row.want):
			t.Errorf("%q: %q, %v", row.name, got, err)
		case row.trouble != "" && (err == nil || !strings.Contains(err.Error(), row.trouble)):
			t.Errorf("%q: want %q, got %q, %v", row.name, row.trouble, got, err)
		}
	}
}

// TestRoleForm holds the copy of the rule to the token service.
func TestRoleForm(t *testing.T) {
	for _, role := range []string{"admin", "a", "team/shop:read-only_1.x", "", "-a", " a", "a b", "ä", "a\n", strings.Repeat("a", 64), strings.Repeat("a", 65)} {
		if role == "" {
			continue // takes the line away
		}
		theirs := refusal("alice:"+aliceHash+"\n", list("alice: "+role+"\n")) == nil
		if strings.TrimSpace(role) != role {
			theirs = false // they trim; here a space is a mistake
		}
		if ours := checkRole(role) == nil; ours != theirs {
			t.Errorf("%q: %t here, %t in the token service", role, ours, theirs)
		}
	}
}

// FuzzEdit changes and removes a user in any text: no line of anybody else is lost, changed or moved.
func FuzzEdit(f *testing.F) {
	for _, seed := range []struct{ text, name string }{
		{"", "bob"},
		{"alice:A\nbob:B\n", "bob"},
		{"alice:A\r\nbob:B", "alice"},
		{"# comment\n\n\nbob:B\nｂｏｂ:C\nx", "bob"},
		{"bob:B\r", "bob"},
		{"\xff\xfe:x\nbob:B:C:D\n::\n#bob:x\n bob:y\n", "bob"},
		{"a\u200b:x\nbob", "bob"},
	} {
		f.Add(seed.text, seed.name)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		account, err := accountOf(name, "", "")
		if err != nil {
			return
		}
		before := others(text, account)
		if got := others(string(list(text).remove(account)), account); !slices.Equal(got, before) {
			t.Fatalf("remove: others were %q, are %q", before, got)
		}
		if left := list(text).remove(account).of(account); len(left) > 0 {
			t.Fatalf("remove leaves %v", left)
		}
		after, err := list(text).put(account, "VALUE")
		if err != nil {
			if len(list(text).of(account)) < 2 || string(after) != text {
				t.Fatalf("put: %v", err)
			}
			return
		}
		if got := others(string(after), account); !slices.Equal(got, before) {
			t.Fatalf("put: others were %q, are %q", before, got)
		}
		if mine := after.of(account); len(mine) != 1 || mine[0].value != "VALUE" {
			t.Fatalf("put leaves %v", mine)
		}
	})
}

// others are the lines of a text that are not an account's, without line feeds, found without the code under test.
func others(text, account string) []string {
	var rest []string
	lines := strings.Split(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		name, _, found := strings.Cut(line, ":")
		folded, err := identity.Canonical(name)
		if found && err == nil && folded == account && line[0] != '#' {
			continue
		}
		rest = append(rest, line)
	}
	return rest
}
