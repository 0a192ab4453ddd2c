package feed

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		http.Error(w, "too many edges", http.StatusServiceUnavailable)
		return
	}
	defer s.streams.Add(-1)
	id, known := s.storeID(r.Context())
	if !known {
		http.Error(w, errNoStore.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := &lines{w: w, control: http.NewResponseController(w)}
	// Every error ends the stream: the edge connects again and loads everything.
	if err := s.follow(r.Context(), out, id); err != nil && r.Context().Err() == nil {
		s.config.Logger.Warn("feed_stream_ended", "error", err.Error())
		panic(http.ErrAbortHandler) // resets the stream at once, whatever is buffered
	}
}

// errStoreChanged ends a stream: the numbers of the new store mean something else.
var errStoreChanged = errors.New("the session store was emptied or replaced: edges load the list again")

// follow sends the complete list of the store with this id, and then what comes.
func (s *Server) follow(ctx context.Context, out *lines, id string) error {
	changed, cancel := s.config.Source.Subscribe()
	defer cancel()
	// Before the list is read: the list has everything up to this number at least.
	position, err := s.config.Source.Last(ctx)
	if err != nil {
		return err
	}
	newest, err := s.send(ctx, out, 0, s.config.Now(), false)
	if err != nil {
		return err
	}
	position = max(position, newest)
	if !s.same(id) {
		return errStoreChanged
	}
	if err := out.write(message{Synced: &position, Store: id}, true); err != nil {
		return err
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		var line *message
		var since time.Time
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case <-changed:
			since = s.config.Now()
		case <-beat.C:
			// Read again: with a store shared by replicas, a lost notification costs a second and not a revocation.
			line, since = &message{Beat: &position}, s.config.Now().Add(-shareFor)
		}
		if position, err = s.send(ctx, out, position, since, true); err != nil {
			return err
		}
		if !s.same(id) {
			return errStoreChanged
		}
		if line != nil {
			if err := out.write(*line, false); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

// same tells whether the store is still the one with this id.
func (s *Server) same(id string) bool { return s.config.Store == nil || s.config.Store() == id }

// send writes everything above after, as it is at since or later, and returns the number of the last.
func (s *Server) send(ctx context.Context, out *lines, after uint64, since time.Time, chained bool) (uint64, error) {
	for {
		entries, more, err := s.readings.page(ctx, after, since)
		if err != nil {
			return after, err
		}
		for i := range entries {
			m := message{Entry: &entries[i]}
			if chained {
				m.Prev = after
			}
			if err := out.write(m, false); err != nil {
				return after, err
			}
			after = entries[i].Seq
		}
		if !more {
			return after, nil
		}
	}
}

// lines writes JSON lines; a client that does not read within writeWithin is cut.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (l *lines) write(m message, flush bool) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := l.control.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	if _, err := l.w.Write(append(raw, '\n')); err != nil {
		return err
	}
	if flush {
		return l.flush()
	}
	return nil
}

func (l *lines) flush() error { return l.control.Flush() }
