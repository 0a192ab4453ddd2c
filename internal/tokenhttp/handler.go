package tokenhttp

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/steering"
	"github.com/keyturn/keyturn/internal/store"
)

// Families is the part of the store that login and refresh use. See [store.Families].
type Families interface {
	Create(ctx context.Context, request store.NewFamily) (store.Created, error)
	Inspect(ctx context.Context, token store.Token, now time.Time, window time.Duration) (store.Inspection, error)
	Rotate(ctx context.Context, request store.RotateRequest) (store.RotateResult, error)
}

// Sessions is the part of the store that logout and the probes use. See [store.Revoker] and [store.Log].
type Sessions interface {
	RevokeSession(ctx context.Context, request store.Revoke) (uint64, error)
	Last(ctx context.Context) (uint64, error)
	Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error)
}

// Edges knows how far revocations have travelled.
type Edges interface {
	// Wait returns when every leased edge has applied the revocation with this number or its lease has run out, and
	// tells whether all have applied it.
	Wait(ctx context.Context, number uint64) bool
	// Leased is how many edges hold a lease.
	Leased() int
}

// Config is what the service is made of. Every member is needed that does not say what nil means.
type Config struct {
	// Document returns the document in force, nil while there is none; Refused the newest that was not taken.
	Document func() *Document
	Refused  func() *snapshot.Refusal
	Families Families
	Sessions Sessions
	Limiter  store.Limiter
	// Acquaintances are the addresses from which each account has logged in.
	Acquaintances store.Acquaintances
	// StoreTimeout bounds one operation of the store; 0 means 3 seconds.
	StoreTimeout time.Duration
	Edges        Edges
	// Clients knows the secrets of OAuth clients; nil means that no client can prove who it is. Revocations is what
	// introspection and legacy sessions ask; nil means that introspection answers 503 for access tokens.
	Clients     Clients
	Revocations Revocations
	// StoreReason says why the store does not answer and how to mend that; nil where it cannot say.
	StoreReason func() string
	Hasher      *identity.Hasher
	Log         *slog.Logger
	Now         func() time.Time
	// Instance is the replica's name.
	Instance string
}

// Service answers the public and the internal port. It is safe for concurrent use; use [New].
type Service struct {
	Config
	routes    map[string]route
	ledger    ledger
	strangers strangers
	denials   denials
	auditKey  auditKey
	counter   steering.Counter
	metrics   *metrics
	draining  drain
	recorded  recorded
}

type route struct {
	method string
	serve  func(w http.ResponseWriter, r *http.Request) *Problem
}

// New returns a service.
func New(config Config) *Service {
	s := &Service{Config: config, auditKey: newAuditKey()}
	s.metrics = newMetrics(s)
	s.measureStore(config)
	s.routes = map[string]route{
		"/auth/login":                             {http.MethodPost, s.login},
		"/auth/refresh":                           {http.MethodPost, s.refresh},
		"/auth/logout":                            {http.MethodPost, s.logout},
		"/auth/session/exchange":                  {http.MethodPost, s.exchangeSession},
		"/.well-known/jwks.json":                  {http.MethodGet, s.cached(func(d *Document) cachable { return d.jwks })},
		"/.well-known/openid-configuration":       {http.MethodGet, s.cached(func(d *Document) cachable { return d.discovery })},
		"/.well-known/oauth-authorization-server": {http.MethodGet, s.cached(func(d *Document) cachable { return d.discovery })},
	}
	maps.Copy(s.routes, s.oauthRoutes())
	maps.Copy(s.routes, s.browserRoutes())
	return s
}

// Public is the handler of the port behind the ingress.
func (s *Service) Public() http.Handler {
	return aside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = s.relocate(r)
		defer s.recover(w, r)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if s.cors(w, r) {
			return
		}
		if p := s.dispatch(w, r); p != nil {
			p.write(w)
		}
	}))
}

// dispatch matches the path exactly: a cleaned path could mean another route to the ingress than to us.
func (s *Service) dispatch(w http.ResponseWriter, r *http.Request) *Problem {
	to, found := s.routes[r.URL.Path]
	if !found || r.URL.RawPath != "" {
		return &Problem{Status: http.StatusNotFound, Code: CodeNotFound, Title: "There is nothing at this path"}
	}
	allow := to.method
	if to.method == http.MethodGet {
		allow = "GET, HEAD"
	}
	if r.Method != to.method && (r.Method != http.MethodHead || to.method != http.MethodGet) {
		return &Problem{Status: http.StatusMethodNotAllowed, Code: CodeMethodNotAllowed, Title: "This method is not allowed here", allow: allow}
	}
	return to.serve(w, r)
}

func (s *Service) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	// The value may hold what the client sent; only the runtime's own errors are known not to.
	reason := "panic"
	if err, ok := v.(runtime.Error); ok {
		reason = err.Error()
	}
	s.Log.Error("panic", "path", knownPath(s, r), "reason", reason, "stack", string(debug.Stack()))
	s.metrics.panics.Inc()
	errInternal.write(w)
}

func knownPath(s *Service, r *http.Request) string {
	if _, found := s.routes[r.URL.Path]; found {
		return r.URL.Path
	}
	return "other"
}

// storeFailed logs a store error and turns it into an answer.
func (s *Service) storeFailed(operation string, err error) *Problem {
	if !errors.Is(err, context.Canceled) {
		s.Log.Error("store_failed", "operation", operation, "error", err.Error())
	}
	return errStore
}
