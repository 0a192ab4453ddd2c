package identity

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// The refusals of a [Directory].
var (
	// ErrDenied: the name is unknown or the password is wrong; which of both is not told.
	ErrDenied = errors.New("the name or the password is wrong")
	// ErrGone: the user is not known any more.
	ErrGone = errors.New("the user is gone")
	// ErrUnavailable: a source that had to be asked could not answer.
	ErrUnavailable = errors.New("an identity source is not available")
)

// User is somebody whom a source knows.
type User struct {
	// Subject is `sub`: the source's prefix and the name.
	Subject string
	// Name is the canonical name in the source.
	Name string
	// Role is what the source says; empty if it says nothing.
	Role string
	// Source is the name of the source that knows the user.
	Source string
}

// Directory asks sources in order. It is immutable and safe for concurrent use; the zero value denies everybody.
type Directory struct {
	sources []source
	hasher  *Hasher
}

type source struct {
	name, prefix string
	load         func() (*users, roles, error)
}

var sourceForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// New builds a directory of the sources of a snapshot. Those without users in the snapshot are read from files.
func New(configured []snapshot.IdentitySource, files *Files, hasher *Hasher) (*Directory, error) {
	d := &Directory{hasher: hasher}
	names, prefixes := map[string]bool{}, map[string]bool{}
	for _, c := range configured {
		// The name becomes a part of a path.
		if !sourceForm.MatchString(c.Name) || names[c.Name] {
			return nil, fmt.Errorf("identity source %.80q: names are unique and have 1 to 63 lower-case letters, digits or dashes", c.Name)
		}
		if prefixes[c.SubjectPrefix] {
			return nil, fmt.Errorf("identity source %s: another source has the same subjectPrefix, so their users would be mixed up", c.Name)
		}
		names[c.Name], prefixes[c.SubjectPrefix] = true, true
		if c.Htpasswd == nil {
			return nil, fmt.Errorf("identity source %s: this build knows htpasswd only", c.Name)
		}
		load, err := loader(c, files)
		if err != nil {
			return nil, fmt.Errorf("identity source %s: %w", c.Name, err)
		}
		d.sources = append(d.sources, source{name: c.Name, prefix: c.SubjectPrefix, load: load})
	}
	return d, nil
}

func loader(c snapshot.IdentitySource, files *Files) (func() (*users, roles, error), error) {
	if c.Htpasswd.Users.Empty() {
		if files == nil {
			return nil, errors.New("has no users, and there is no directory to read them from")
		}
		return files.source(c.Name).load, nil
	}
	list, err := parseUsers(c.Htpasswd.Users)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	all, err := parseRoles(c.Htpasswd.Roles)
	if err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	return func() (*users, roles, error) { return list, all, nil }, nil
}

// Authenticate checks a name and a password. It fails with [ErrDenied], [ErrBadName] or a password that is too long
// (before any work), [ErrBusy], [ErrUnavailable], or ctx's error.
func (d *Directory) Authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
	name, err := Canonical(name)
	if err != nil {
		return User{}, err
	}
	if len(password.Reveal()) > MaxPasswordBytes {
		return User{}, ErrPasswordTooLong
	}
	var dummy hash
	most := 0
	for _, s := range d.sources {
		list, all, err := s.load()
		if err != nil {
			return User{}, fmt.Errorf("%w: %s: %w", ErrUnavailable, s.name, err)
		}
		if stored, known := list.byName[name]; known {
			matches, err := d.hasher.matches(ctx, stored, password)
			if err != nil {
				return User{}, err
			}
			if !matches {
				return User{}, ErrDenied
			}
			return s.user(name, all), nil
		}
		if list.howMany > most {
			most, dummy = list.howMany, list.dummy
		}
	}
	if most > 0 {
		if _, err := d.hasher.matches(ctx, dummy, password); err != nil {
			return User{}, err
		}
	}
	return User{}, ErrDenied
}

// ErrPasswordTooLong is returned for a password past [MaxPasswordBytes], whoever sends it.
var ErrPasswordTooLong = fmt.Errorf("a password has at most %d bytes", MaxPasswordBytes)

// Lookup asks a source for a user whom it knew: the answer has the role of today. It fails with [ErrGone] or
// [ErrUnavailable].
func (d *Directory) Lookup(_ context.Context, sourceName, name string) (User, error) {
	for _, s := range d.sources {
		if s.name != sourceName {
			continue
		}
		list, all, err := s.load()
		if err != nil {
			return User{}, fmt.Errorf("%w: %s: %w", ErrUnavailable, s.name, err)
		}
		if _, known := list.byName[name]; !known {
			return User{}, ErrGone
		}
		return s.user(name, all), nil
	}
	return User{}, ErrGone
}

func (s source) user(name string, all roles) User {
	return User{Subject: s.prefix + name, Name: name, Role: all[name], Source: s.name}
}
