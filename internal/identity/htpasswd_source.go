package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// htpasswd is a source of a list of users, from the snapshot or from files.
type htpasswd struct {
	noTokens
	load   func() (*users, roles, error)
	hasher *Hasher
}

func newHtpasswd(c snapshot.IdentitySource, next *opening, hasher *Hasher) (*htpasswd, error) {
	h := &htpasswd{hasher: hasher}
	if c.Htpasswd.Users.Empty() {
		if next.sources == nil {
			return nil, errors.New("has no users, and there is no directory to read them from")
		}
		files := next.keep("htpasswd/"+c.Name, func(s *Sources) runner { return openFiles(s, c.Name) }).(*listFiles)
		h.load = files.load
		return h, nil
	}
	list, err := parseUsers(c.Htpasswd.Users)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	all, err := parseRoles(c.Htpasswd.Roles)
	if err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	h.load = func() (*users, roles, error) { return list, all, nil }
	return h, nil
}

func (h *htpasswd) authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
	list, all, err := h.load()
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	stored, known := list.byName[name]
	if !known {
		return User{}, errUnknown
	}
	matches, err := h.hasher.matches(ctx, stored, password)
	if err != nil {
		return User{}, err
	}
	if !matches {
		return User{}, ErrDenied
	}
	return User{Name: name, Role: all[name], Refreshable: true}, nil
}

func (h *htpasswd) lookup(_ context.Context, known User) (User, error) {
	list, all, err := h.load()
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if _, there := list.byName[known.Name]; !there {
		return User{}, ErrGone
	}
	return User{Name: known.Name, Role: all[known.Name], Refreshable: true}, nil
}

// The names of the two files of an htpasswd source in its directory; the second may be missing.
const (
	usersFile = "htpasswd"
	rolesFile = "roles"
)

// listFiles are <dir>/<source>/htpasswd and roles. Each is read again when it changes; a bad new content is refused and
// reported, and the old one stays. A file that is taken away counts: without `roles` nobody has a role, without
// `htpasswd` the source is not available.
type listFiles struct {
	users     *snapshot.File[users]
	roles     *snapshot.File[roles]
	rolesPath string
}

func openFiles(s *Sources, name string) *listFiles {
	dir := filepath.Join(s.dir, name)
	// One volume may hold all sources as folders; then its link `..data` is in the directory above.
	options := []snapshot.Option{snapshot.ForgetMissing(), snapshot.Watching(s.dir)}
	l := &listFiles{rolesPath: filepath.Join(dir, rolesFile)}
	l.users = snapshot.Open(filepath.Join(dir, usersFile), func(raw []byte, _ *users) (*users, error) {
		return parseUsers(secret.NewText(string(raw)))
	}, s.log, s.now, options...)
	l.roles = snapshot.Open(l.rolesPath, func(raw []byte, _ *roles) (*roles, error) {
		all, err := parseRoles(string(raw))
		return &all, err
	}, s.log, s.now, options...)
	return l
}

func (l *listFiles) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { _ = l.users.Run(ctx) }) // they end with ctx and not before
	both.Go(func() { _ = l.roles.Run(ctx) })
	both.Wait()
}

func (l *listFiles) load() (*users, roles, error) {
	list := l.users.Load()
	if list == nil {
		return nil, nil, refusal(usersFile, l.users.Refused())
	}
	if all := l.roles.Load(); all != nil {
		return list, *all, nil
	}
	if _, err := os.Stat(l.rolesPath); errors.Is(err, os.ErrNotExist) {
		return list, nil, nil
	}
	return nil, nil, refusal(rolesFile, l.roles.Refused())
}

func refusal(file string, r *snapshot.Refusal) error {
	if r == nil {
		return fmt.Errorf("the file %s was not read yet", file)
	}
	return fmt.Errorf("the file %s: %s", file, r.Message)
}
