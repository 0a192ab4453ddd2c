package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollInterval is how often the file is read when no notification says that it changed: some file systems send none.
const pollInterval = 2 * time.Second

// Build turns the bytes of a document into the value that a replica works with. It checks everything that makes the
// document fit for use; current is the value in force or nil. An error refuses the document.
type Build[T any] func(raw []byte, current *T) (*T, error)

// Option changes how a [File] follows its path.
type Option func(*following)

// following is what the options say.
type following struct {
	forgetMissing bool
	watched       []string
}

// ForgetMissing makes a missing file take its value away. Without it the last good value stays, which is right for a
// document that must outlive its Secret, and wrong for a list in which absence has a meaning.
func ForgetMissing() Option { return func(f *following) { f.forgetMissing = true } }

// Watching names one more directory whose changes can change the file: the one that holds the link `..data`, where
// the file is in a folder of its volume.
func Watching(dir string) Option {
	return func(f *following) { f.watched = append(f.watched, dir) }
}

// File keeps the value built from one mounted file up to date: [File.Load] is one atomic read, never a lock and never
// I/O. It is safe for concurrent use; the zero value is not usable, see [Open].
type File[T any] struct {
	following
	path  string
	build Build[T]
	log   *slog.Logger
	now   func() time.Time

	newWatcher func() (*fsnotify.Watcher, error)
	poll       time.Duration

	current atomic.Pointer[T]
	refused atomic.Pointer[Refusal]

	reading  sync.Mutex        // serialises reads, guards lastHash
	lastHash [sha256.Size]byte // of the content read last; zero if there was none
}

// Open reads the file once. A missing or refused document is not an error here: the replica starts, is not ready,
// says why in its status, and takes the document when it comes ([File.Run]).
func Open[T any](path string, build Build[T], log *slog.Logger, now func() time.Time, options ...Option) *File[T] {
	f := &File[T]{path: path, build: build, log: log, now: now, newWatcher: fsnotify.NewWatcher, poll: pollInterval}
	// The directory, because kubelet swaps a link in it and never writes the file itself.
	f.watched = []string{filepath.Dir(path)}
	for _, set := range options {
		set(&f.following)
	}
	f.Reload()
	return f
}

// Load returns the value in force, nil while there is none.
func (f *File[T]) Load() *T { return f.current.Load() }

// Refused describes the newest document if it was not taken.
func (f *File[T]) Refused() *Refusal { return f.refused.Load() }

// Run follows the file until ctx ends. Where nothing can be watched, e.g. because the node has no inotify instance
// left, it says so once and reads the file from time to time, which it does in any case.
func (f *File[T]) Run(ctx context.Context) error {
	var events <-chan fsnotify.Event // nil, so never ready, without a watcher
	var failures <-chan error
	watcher, err := f.newWatcher()
	if err != nil {
		f.log.Warn("snapshot_watch_failed", "path", f.path, "error", err.Error(), "read_every", f.poll.String())
	} else {
		defer watcher.Close() //nolint:errcheck // nothing is written
		events, failures = watcher.Events, watcher.Errors
	}
	poll := time.NewTicker(f.poll)
	defer poll.Stop()
	complained := false
	for {
		if watcher != nil {
			// Again each time: a directory may come late, or be another one behind the same name.
			if err := f.watch(watcher); err != nil && !complained {
				f.log.Warn("snapshot_watch_failed", "path", f.path, "error", err.Error(), "read_every", f.poll.String())
				complained = true
			}
		}
		f.Reload() // after the watch is set: what changed before it is seen too
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-events:
		case err := <-failures:
			f.log.Warn("snapshot_watch_failed", "path", f.path, "error", err.Error())
		case <-poll.C:
		}
	}
}

func (f *File[T]) watch(watcher *fsnotify.Watcher) error {
	var failed error
	for _, dir := range f.watched {
		if err := watcher.Add(dir); err != nil {
			failed = errors.Join(failed, fmt.Errorf("watch %s: %w", dir, err))
		}
	}
	return failed
}

// Reload reads the file now and tells whether the value in force changed.
func (f *File[T]) Reload() bool {
	f.reading.Lock()
	defer f.reading.Unlock()
	had := f.current.Load()
	raw, err := readBounded(f.path)
	if errors.Is(err, os.ErrNotExist) && had != nil {
		if !f.forgetMissing {
			return false // a deleted Secret: what is in force stays
		}
		// A swap removes the old directory, perhaps while its path is walked: only the second look is believed.
		raw, err = readBounded(f.path)
	}
	if err != nil {
		f.lastHash = [sha256.Size]byte{} // the same content is news when it comes back
		f.refuse(refuse("Undecodable", "cannot be read: %w", err), nil)
		if missing := errors.Is(err, os.ErrNotExist); !missing || had == nil {
			return false
		}
		f.current.Store(nil)
		return true
	}
	hash := sha256.Sum256(raw)
	if hash == f.lastHash {
		return false
	}
	f.lastHash = hash
	next, err := f.build(raw, had)
	if err != nil {
		f.refuse(err, raw)
		return false
	}
	f.current.Store(next)
	f.refused.Store(nil)
	return true
}

func (f *File[T]) refuse(err error, raw []byte) {
	refusal := &Refusal{Reason: "Incomplete", Message: err.Error(), Time: f.now(), Revision: peekRevision(raw)}
	var typed *RefusedError
	if errors.As(err, &typed) {
		refusal.Reason, refusal.Message = typed.Reason, typed.Err.Error()
	}
	if last := f.refused.Load(); last == nil || last.Message != refusal.Message {
		f.log.Error("snapshot_refused", "path", f.path, "revision", refusal.Revision, "reason", refusal.Reason, "message", refusal.Message)
	}
	f.refused.Store(refusal)
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	return io.ReadAll(io.LimitReader(file, 8*MaxBytes+1))
}
