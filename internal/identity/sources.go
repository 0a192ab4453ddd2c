package identity

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Sources keep what outlives a snapshot: files that are followed, connections, circuit breakers, the keys of providers.
// Each belongs to a source's name and configuration, and ends with the first directory that is built without it. Safe
// for concurrent use, but build one [Directory] at a time, as a snapshot's holder does.
type Sources struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	open   map[string]*living
	follow context.Context // set while Run runs
	group  sync.WaitGroup
}

// living is something that outlives a snapshot.
type living struct {
	value runner
	stop  context.CancelFunc // nil while it does not run
}

// runner has work beside the requests: run does it until ctx ends.
type runner interface{ run(ctx context.Context) }

// NewSources returns sources with their files below dir: <dir>/<source>/. Nothing is read before a source is used.
func NewSources(dir string, log *slog.Logger, now func() time.Time) *Sources {
	return &Sources{dir: dir, log: log, now: now, open: map[string]*living{}}
}

// Run follows files and fetches keys until ctx ends.
func (s *Sources) Run(ctx context.Context) error {
	s.mu.Lock()
	s.follow = ctx
	for _, l := range s.open {
		s.start(l)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.follow = nil
	s.mu.Unlock()
	s.group.Wait()
	return ctx.Err()
}

func (s *Sources) start(l *living) {
	if s.follow == nil {
		return
	}
	ctx, stop := context.WithCancel(s.follow)
	l.stop = stop
	s.group.Go(func() { l.value.run(ctx) })
}

// opening is the building of one directory.
type opening struct {
	sources   *Sources // nil where nothing is kept
	used      map[string]bool
	fresh     []string
	committed bool
}

func (s *Sources) begin() *opening { return &opening{sources: s, used: map[string]bool{}} }

// keep returns what has the key, made on first use.
func (o *opening) keep(key string, make func(s *Sources) runner) runner {
	s := o.sources
	s.mu.Lock()
	defer s.mu.Unlock()
	o.used[key] = true
	if l := s.open[key]; l != nil {
		return l.value
	}
	l := &living{value: make(s)}
	s.open[key] = l
	o.fresh = append(o.fresh, key)
	s.start(l)
	return l.value
}

// commit ends what this directory does not use.
func (o *opening) commit() {
	o.committed = true
	if o.sources == nil {
		return
	}
	o.sources.mu.Lock()
	defer o.sources.mu.Unlock()
	for key := range o.sources.open {
		if !o.used[key] {
			o.sources.drop(key)
		}
	}
}

// end ends what was opened for a directory that was not built after all.
func (o *opening) end() {
	if o.committed || o.sources == nil {
		return
	}
	o.sources.mu.Lock()
	defer o.sources.mu.Unlock()
	for _, key := range o.fresh {
		o.sources.drop(key)
	}
}

func (s *Sources) drop(key string) {
	if stop := s.open[key].stop; stop != nil {
		stop()
	}
	delete(s.open, key)
}
