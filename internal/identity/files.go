package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// The names of the two files of an htpasswd source in its directory; the second may be missing.
const (
	usersFile = "htpasswd"
	rolesFile = "roles"
)

// Files are the htpasswd sources that live in files: <dir>/<source>/htpasswd and roles. Each is read again when it
// changes; a bad new content is refused and reported, and the old one stays. A file that is taken away counts: without
// `roles` nobody has a role, without `htpasswd` the source is not available. Safe for concurrent use.
type Files struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	open   map[string]*fileSource
	follow context.Context // set while Run runs
	group  sync.WaitGroup
}

// NewFiles returns the sources below dir. Nothing is read before a source is used.
func NewFiles(dir string, log *slog.Logger, now func() time.Time) *Files {
	return &Files{dir: dir, log: log, now: now, open: map[string]*fileSource{}}
}

// Run follows the files until ctx ends.
func (f *Files) Run(ctx context.Context) error {
	f.mu.Lock()
	f.follow = ctx
	for _, s := range f.open {
		f.start(s)
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.follow = nil
	f.mu.Unlock()
	f.group.Wait()
	return ctx.Err()
}

// source opens a source by name, once.
func (f *Files) source(name string) *fileSource {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.open[name]; s != nil {
		return s
	}
	dir := filepath.Join(f.dir, name)
	// One volume may hold all sources as folders; then its link `..data` is in the directory above.
	options := []snapshot.Option{snapshot.ForgetMissing(), snapshot.Watching(f.dir)}
	s := &fileSource{rolesPath: filepath.Join(dir, rolesFile)}
	s.users = snapshot.Open(filepath.Join(dir, usersFile), func(raw []byte, _ *users) (*users, error) {
		return parseUsers(secret.NewText(string(raw)))
	}, f.log, f.now, options...)
	s.roles = snapshot.Open(s.rolesPath, func(raw []byte, _ *roles) (*roles, error) {
		all, err := parseRoles(string(raw))
		return &all, err
	}, f.log, f.now, options...)
	f.open[name] = s
	f.start(s)
	return s
}

func (f *Files) start(s *fileSource) {
	if f.follow == nil {
		return
	}
	ctx := f.follow
	for _, run := range []func(context.Context) error{s.users.Run, s.roles.Run} {
		f.group.Go(func() { _ = run(ctx) }) // it ends with ctx and not before
	}
}

// fileSource is one source in files.
type fileSource struct {
	users     *snapshot.File[users]
	roles     *snapshot.File[roles]
	rolesPath string
}

func (s *fileSource) load() (*users, roles, error) {
	list := s.users.Load()
	if list == nil {
		return nil, nil, refusal("htpasswd", s.users.Refused())
	}
	if all := s.roles.Load(); all != nil {
		return list, *all, nil
	}
	if _, err := os.Stat(s.rolesPath); errors.Is(err, os.ErrNotExist) {
		return list, nil, nil
	}
	return nil, nil, refusal("roles", s.roles.Refused())
}

func refusal(file string, r *snapshot.Refusal) error {
	if r == nil {
		return fmt.Errorf("the file %s was not read yet", file)
	}
	return fmt.Errorf("the file %s: %s", file, r.Message)
}
