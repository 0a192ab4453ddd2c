package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Log is where the revocations come from; stores implement it.
type Log interface {
	// Revocations returns up to limit live entries with a number above after, in order, and whether there are more.
	Revocations(ctx context.Context, after uint64, limit int) (entries []revocation.Entry, more bool, err error)
	// Last is the number of the newest revocation ever written.
	Last(ctx context.Context) (uint64, error)
	// Subscribe returns a channel that gets a value after a revocation was written, and how to end that.
	Subscribe() (<-chan struct{}, func())
}

// ServerConfig is what a server is made of. Every member but Store and Dir is needed.
type ServerConfig struct {
	Source Log
	// Store is the id of Source: an edge that loaded its list from another one holds no lease here.
	Store  string
	Leases *Leases
	// Dir holds tls.crt, tls.key and token; empty means clear text on a loopback address.
	Dir    string
	Logger *slog.Logger
	Now    func() time.Time
}

// Server serves the feed. Make it with [NewServer].
type Server struct {
	config  ServerConfig
	tokens  *tokens
	streams atomic.Int64
	closing chan struct{}
}

// NewServer returns a server.
func NewServer(config ServerConfig) *Server {
	return &Server{config: config, tokens: &tokens{dir: config.Dir, now: config.Now}, closing: make(chan struct{})}
}

// Serve serves until ctx ends; then it ends the streams, so that the edges go to another replica.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	protocols := new(http.Protocols)
	server := &http.Server{
		Handler: s.Handler(), Protocols: protocols, MaxHeaderBytes: 8 << 10,
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // it quotes what peers send
	}
	protocols.SetHTTP1(true)
	if s.config.Dir == "" {
		if err := checkLoopback(listener.Addr()); err != nil {
			return err
		}
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP2(true)
		server.TLSConfig = serverTLS(s.config.Dir)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		close(s.closing)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	}()
	var err error
	if s.config.Dir == "" {
		err = server.Serve(listener)
	} else {
		err = server.ServeTLS(listener, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		<-ended
		return ctx.Err()
	}
	return fmt.Errorf("feed: %w", err)
}

// Handler serves the two paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+StreamPath, s.stream)
	mux.HandleFunc("POST "+LeasePath, s.lease)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.config.Dir != "" {
			presented, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !found || !s.tokens.accept(secret.New([]byte(presented))) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				http.Error(w, "the feed secret is wrong", http.StatusUnauthorized)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) lease(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(writeWithin))
	var in report
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLine))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || !goodEdge(in.Edge) {
		http.Error(w, "a report must be {edge, applied}", http.StatusBadRequest)
		return
	}
	if in.Leaving {
		s.config.Leases.Leave(in.Edge)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if in.Store != s.config.Store {
		http.Error(w, "the number is of another store: load the list again", http.StatusConflict)
		return
	}
	// The lease first, the number second: a revocation written in between either finds the lease or is in the number.
	length, err := s.config.Leases.Report(r.Context(), in.Edge, in.Applied)
	if err != nil {
		s.config.Logger.Error("feed_lease_failed", "error", err.Error())
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	last, err := s.config.Source.Last(r.Context())
	if err != nil {
		s.config.Logger.Error("feed_store_failed", "error", err.Error())
		http.Error(w, "the session store does not answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(acknowledgement{Lease: snapshot.Duration(length), Last: last})
}

func goodEdge(name string) bool {
	return name != "" && len(name) <= maxEdgeName && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		http.Error(w, "too many edges", http.StatusServiceUnavailable)
		return
	}
	defer s.streams.Add(-1)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := &lines{w: w, control: http.NewResponseController(w)}
	// Every error ends the stream: the edge connects again and loads everything.
	if err := s.follow(r.Context(), out); err != nil && r.Context().Err() == nil {
		s.config.Logger.Warn("feed_stream_ended", "error", err.Error())
		panic(http.ErrAbortHandler) // resets the stream at once, whatever is buffered
	}
}

// follow sends the complete list and then what comes.
func (s *Server) follow(ctx context.Context, out *lines) error {
	changed, cancel := s.config.Source.Subscribe()
	defer cancel()
	// Before the list is read: the list has everything up to this number at least.
	position, err := s.config.Source.Last(ctx)
	if err != nil {
		return err
	}
	newest, err := s.send(ctx, out, 0, false)
	if err != nil {
		return err
	}
	position = max(position, newest)
	if err := out.write(message{Synced: &position, Store: s.config.Store}, true); err != nil {
		return err
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case <-changed:
			if position, err = s.send(ctx, out, position, true); err != nil {
				return err
			}
			if err := out.flush(); err != nil {
				return err
			}
		case <-beat.C:
			// Read again: with a store shared by replicas, a lost notification costs a second and not a revocation.
			if position, err = s.send(ctx, out, position, true); err != nil {
				return err
			}
			if err := out.write(message{Beat: &position}, true); err != nil {
				return err
			}
		}
	}
}

// send writes everything above after and returns the number of the last.
func (s *Server) send(ctx context.Context, out *lines, after uint64, chained bool) (uint64, error) {
	for {
		entries, more, err := s.config.Source.Revocations(ctx, after, pageSize)
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
