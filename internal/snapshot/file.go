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

// File keeps the value built from one mounted file up to date: [File.Load] is one atomic read, never a lock and never
// I/O. It is safe for concurrent use; the zero value is not usable, see [Open].
type File[T any] struct {
	path  string
	build Build[T]
	log   *slog.Logger
	now   func() time.Time

	current atomic.Pointer[T]
	refused atomic.Pointer[Refusal]

	reading  sync.Mutex // serialises reads, guards lastHash
	lastHash [sha256.Size]byte
}

// Open reads the file once. A missing or refused document is not an error here: the replica starts, is not ready,
// says why in its status, and takes the document when it comes ([File.Run]).
func Open[T any](path string, build Build[T], log *slog.Logger, now func() time.Time) *File[T] {
	f := &File[T]{path: path, build: build, log: log, now: now}
	f.Reload()
	return f
}

// Load returns the value in force, nil while there is none.
func (f *File[T]) Load() *T { return f.current.Load() }

// Refused describes the newest document if it was not taken.
func (f *File[T]) Refused() *Refusal { return f.refused.Load() }

// Run follows the file until ctx ends.
func (f *File[T]) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.path, err)
	}
	defer watcher.Close() //nolint:errcheck // nothing is written
	// The directory, because kubelet swaps a link in it and never writes the file itself.
	if err := watcher.Add(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("watch %s: %w", filepath.Dir(f.path), err)
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-watcher.Events:
		case err := <-watcher.Errors:
			f.log.Warn("snapshot_watch_failed", "path", f.path, "error", err.Error())
		case <-poll.C:
		}
		f.Reload()
	}
}

// Reload reads the file now and tells whether the value in force changed.
func (f *File[T]) Reload() bool {
	f.reading.Lock()
	defer f.reading.Unlock()
	raw, err := readBounded(f.path)
	if errors.Is(err, os.ErrNotExist) && f.current.Load() != nil {
		return false // a swap under way, or a deleted Secret: what is in force stays
	}
	hash := sha256.Sum256(raw)
	if err == nil && hash == f.lastHash {
		return false
	}
	f.lastHash = hash
	var next *T
	if err == nil {
		next, err = f.build(raw, f.current.Load())
	} else {
		err = refuse("Undecodable", "cannot be read: %w", err)
	}
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
