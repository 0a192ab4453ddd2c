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

// Leaser remembers which edges there are and what they have applied: [Leases] for one process, [SharedLeases] for
// several.
type Leaser interface {
	// Report notes that an edge has applied everything up to a number, and returns how long that counts.
	Report(ctx context.Context, edge string, applied uint64) (time.Duration, error)
	// Leave forgets an edge that has stopped to decide.
	Leave(ctx context.Context, edge string) error
}

// ServerConfig is what a server is made of. Source, Leases and Logger are needed.
type ServerConfig struct {
	Source Log
	// Store is the id of Source; it is asked each time, because a store may be emptied or replaced. An edge that loaded
	// its list from another one holds no lease here. While it is empty, the store was not reached yet, there are neither
	// streams nor leases. nil is for a source that stays the same and has no id.
	Store  func() string
	Leases Leaser
	// Sessions answers the edges' questions about legacy sessions; nil: there are none.
	Sessions Sessions
	// Dir holds tls.crt, tls.key and token; empty means clear text on a loopback address.
	Dir    string
	Logger *slog.Logger
	// Now must carry a monotonic reading, as time.Now does; nil means time.Now.
	Now func() time.Time
}

// Server serves the feed. Make it with [NewServer].
type Server struct {
	config   ServerConfig
	tokens   *tokens
	readings *readings
	streams  atomic.Int64
	// questions is how many are being answered.
	questions atomic.Int64
	closing   chan struct{}
}

// NewServer returns a server.
func NewServer(config ServerConfig) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Server{
		config: config, tokens: &tokens{dir: config.Dir, now: config.Now}, readings: newReadings(config.Source, config.Now),
		closing: make(chan struct{}),
	}
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
		server.TLSConfig = serverTLS(s.config.Dir, s.config.Logger, s.config.Now)
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

// Handler serves the three paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+StreamPath, s.stream)
	mux.HandleFunc("POST "+LeasePath, s.lease)
	mux.HandleFunc("POST "+SessionPath, s.session)
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
		if err := s.config.Leases.Leave(r.Context(), in.Edge); err != nil {
			s.config.Logger.Error("feed_lease_failed", "error", err.Error())
			http.Error(w, "the session store does not answer", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	id, known := s.storeID(r.Context())
	if !known {
		http.Error(w, errNoStore.Error(), http.StatusServiceUnavailable)
		return
	}
	if in.Store != id {
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
	// Both may have asked a store that took the place of the first.
	if now, _ := s.storeID(r.Context()); now != id {
		http.Error(w, "the number is of another store: load the list again", http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(acknowledgement{Lease: snapshot.Duration(length), Last: last})
}

var errNoStore = errors.New("the session store was not reached yet")

// storeID returns the id of the store at hand, and whether it is known. A store may learn it by being asked something.
func (s *Server) storeID(ctx context.Context) (string, bool) {
	if s.config.Store == nil {
		return "", true
	}
	if id := s.config.Store(); id != "" {
		return id, true
	}
	if _, err := s.config.Source.Last(ctx); err != nil {
		return "", false
	}
	id := s.config.Store()
	return id, id != ""
}

// goodEdge accepts names that can be told from the notes that this package keeps among the leases.
func goodEdge(name string) bool {
	return name != "" && len(name) <= maxEdgeName && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
