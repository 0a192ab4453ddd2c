package identity

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/keyturn/keyturn/internal/secret"
)

// MaxUsers bounds an htpasswd list.
const MaxUsers = 5000

// maxLine bounds a line; the longest argon2id string has some 250 bytes.
const maxLine = 1024

// maxProblems is how many bad lines an error names.
const maxProblems = 5

var roleForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$`)

// users is a parsed htpasswd list. It is immutable.
type users struct {
	byName map[string]hash
	// dummy costs what most hashes of the list cost, which how many do.
	dummy   hash
	howMany int
}

// roles are the roles by name. It is immutable.
type roles map[string]string

// parseUsers reads lines `name:hash`; empty lines and those that begin with # do not count. The error names lines by
// number and never quotes one.
func parseUsers(text secret.Text) (*users, error) {
	list := &users{byName: map[string]hash{}}
	costs := map[cost]int{}
	err := eachLine(text.Reveal(), func(line string) error {
		name, rest, found := strings.Cut(line, ":")
		if !found {
			return errors.New("must be name:hash")
		}
		folded, err := Canonical(name)
		if err != nil {
			return err
		}
		stored, err := parseHash(rest)
		if err != nil {
			return err
		}
		if _, twice := list.byName[folded]; twice {
			return errors.New("the name is there already (names are compared in Unicode form NFKC)")
		}
		if len(list.byName) == MaxUsers {
			return fmt.Errorf("more than %d users: use a webhook or an OpenID Connect provider", MaxUsers)
		}
		list.byName[folded] = stored
		if costs[stored.cost]++; costs[stored.cost] > list.howMany {
			list.howMany, list.dummy = costs[stored.cost], hash{cost: stored.cost}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if list.howMany > 0 {
		list.dummy = list.dummy.cost.dummy()
	}
	return list, nil
}

// parseRoles reads lines `name: role`.
func parseRoles(text string) (roles, error) {
	all := roles{}
	err := eachLine(text, func(line string) error {
		name, role, found := strings.Cut(line, ":")
		if !found {
			return errors.New("must be name: role")
		}
		folded, err := Canonical(name)
		if err != nil {
			return err
		}
		role = strings.TrimSpace(role)
		if !roleForm.MatchString(role) {
			return errors.New("a role has 1 to 64 letters, digits, or . _ : / - and begins with a letter or digit")
		}
		if _, twice := all[folded]; twice {
			return errors.New("the name is there already")
		}
		if len(all) == MaxUsers {
			return fmt.Errorf("more than %d names", MaxUsers)
		}
		all[folded] = role
		return nil
	})
	return all, err
}

// eachLine calls do for every line that counts and reports the first bad ones by number.
func eachLine(text string, do func(line string) error) error {
	var problems []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		err := errors.New("is too long")
		if len(line) <= maxLine {
			err = do(line)
		}
		if err == nil {
			continue
		}
		if len(problems) == maxProblems {
			return fmt.Errorf("%w; and more", errors.Join(problems...))
		}
		problems = append(problems, fmt.Errorf("line %d: %w", number, err))
	}
	return errors.Join(problems...)
}
