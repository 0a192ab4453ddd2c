package plugin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/keyturn/keyturn/internal/identity"
)

// The keys of a Secret with users, as TokenService.spec.identity[].htpasswd.secretRef says.
const (
	usersKey = "htpasswd"
	rolesKey = "roles"
)

// list is the text of a file with lines `name:value`. Every line that an edit is not about stays as it is, byte for byte:
// comments, empty lines, lines that say nothing usable, line ends.
type list string

// entry is one line with a usable name.
type entry struct {
	// line counts from 0. name is as it is written, account what it means.
	line          int
	name, account string
	value         string
}

// entries reads the lines that name an account. Lines that the token service would refuse are left out.
func (l list) entries() []entry {
	var found []entry
	for i, line := range l.lines() {
		content, _ := cutEnd(line)
		name, value, ok := strings.Cut(content, ":")
		if !ok || strings.HasPrefix(content, "#") {
			continue
		}
		account, err := identity.Canonical(name)
		if err != nil {
			continue
		}
		found = append(found, entry{line: i, name: name, account: account, value: value})
	}
	return found
}

// lines are with their ends; the last one may have none.
func (l list) lines() []string {
	var lines []string
	for line := range strings.Lines(string(l)) {
		lines = append(lines, line)
	}
	return lines
}

// cutEnd parts a line from its end, as the token service does.
func cutEnd(line string) (content, end string) {
	content = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	return content, line[len(content):]
}

// of returns the lines of an account.
func (l list) of(account string) []entry {
	var found []entry
	for _, e := range l.entries() {
		if e.account == account {
			found = append(found, e)
		}
	}
	return found
}

// put sets the value of an account: in its line if it has one, else in a new last line. Two lines of one account are
// an error, because the token service refuses such a list and nobody can say which line is meant.
func (l list) put(account, value string) (list, error) {
	lines, found := l.lines(), l.of(account)
	switch len(found) {
	case 0:
		end := "\n"
		if n := len(lines); n > 0 {
			if strings.HasSuffix(lines[n-1], "\r\n") {
				end = "\r\n"
			}
			if !strings.HasSuffix(lines[n-1], "\n") {
				lines[n-1] += "\n"
			}
		}
		lines = append(lines, account+":"+value+end)
	case 1:
		e := found[0]
		_, end := cutEnd(lines[e.line])
		lines[e.line] = e.name + ":" + value + end
	default:
		return l, fmt.Errorf("lines %d and %d are the same account: remove it with user rm, then set it again", found[0].line+1, found[1].line+1)
	}
	return list(strings.Join(lines, "")), nil
}

// remove takes every line of an account out.
func (l list) remove(account string) list {
	lines := l.lines()
	for _, e := range l.of(account) {
		lines[e.line] = ""
	}
	return list(strings.Join(lines, ""))
}

// roleForm is what the token service takes as a role.
var roleForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$`)

func checkRole(role string) error {
	if role == "" || roleForm.MatchString(role) {
		return nil
	}
	return errors.New("a role has 1 to 64 letters, digits, or . _ : / - and begins with a letter or digit")
}

// accountOf is the account that a name means, if it may be edited here: a name that is written otherwise in the list of
// users (or, if it is not there, in that of roles) is refused, so that nobody changes one user while seeing another.
func accountOf(name string, users, roles list) (string, error) {
	switch {
	case strings.ContainsAny(name, "\r\n"):
		return "", errors.New("a user name cannot have a line end: it would become two lines")
	case strings.Contains(name, ":"):
		return "", errors.New("a user name cannot have a colon: the rest would be taken for the password's hash")
	case strings.HasPrefix(name, "#"):
		return "", errors.New("a user name cannot begin with #: its line would be a comment")
	}
	account, err := identity.Canonical(name)
	if err != nil {
		return "", err
	}
	if strings.Contains(account, ":") || strings.HasPrefix(account, "#") {
		return "", identity.ErrBadName
	}
	found := users.of(account)
	if len(found) == 0 {
		found = roles.of(account)
	}
	for _, e := range found {
		if e.name != name {
			return "", fmt.Errorf("the name %q is another spelling of %q, which is in the list: they are one account (Unicode form NFKC); write it that way", name, e.name)
		}
	}
	return account, nil
}

var bcryptCost = regexp.MustCompile(`^\$2[aby]\$(\d\d)\$`)

// hashKind names the algorithm of a hash and nothing of the hash.
func hashKind(hash string) string {
	switch m := bcryptCost.FindStringSubmatch(hash); {
	case m != nil:
		return "bcrypt, cost " + strings.TrimPrefix(m[1], "0")
	case strings.HasPrefix(hash, "$argon2id$"):
		return "argon2id"
	}
	return "unusable"
}
