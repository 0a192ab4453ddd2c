// Package legacyapp is a small application of the old kind, for the demo and for tests: its users have sessions in Redis
// and a signed cookie, as an application with express-session, connect-redis and passport has them.
//
//	connect.sid = s%3AID.SIGNATURE ──▶ sess:ID = {"cookie":{…},"passport":{"user":{"id","name","role"}}}, with a TTL
//	                                   user-sessions:USER = the ids of a user's sessions
//
//	POST /legacy/login       {"username","password"}: a session for the browser
//	POST /legacy/logout      ends the browser's session
//	POST /legacy/introspect  {"session"}: whose it is; GET: whose the cookie at hand is
//	POST /legacy/sessions    {"user_id","name","role","session"}: makes a session, or extends one
//	POST /legacy/revoke      {"session"} or {"user_id"}: ends sessions
//	GET  anything else       a page that shows who the user is, as X-Auth-User says
//
// What only Keyturn may ask wants a bearer token. The application keeps nothing in memory but counters: it can be killed
// and started again.
package legacyapp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The layout in Redis, as a validator's configuration names it.
const (
	Cookie    = "connect.sid"
	Key       = "sess:{id}"
	UserPath  = "passport.user.id"
	RolePath  = "passport.user.role"
	UserIndex = "user-sessions:{user}"
)

// User is somebody who can log in.
type User struct{ ID, Name, Password, Role string }

// Options say how the application runs.
type Options struct {
	// Redis is host:port of its store.
	Redis string
	// Secret signs cookies. Token is what Keyturn shows; empty for nothing.
	Secret, Token string
	// Life is how long a session lives after its last use by the issuer; zero for half an hour.
	Life time.Duration
	// Users can log in; none means alice (password wonderland, admin) and bob (password builder, user).
	Users []User
}

// Application is one that runs, or that serves inside of another server. It is safe for concurrent use.
type Application struct {
	options Options
	store   *goredis.Client
	handler http.Handler
	server  *http.Server
	address string

	mu     sync.Mutex
	counts map[string]int
	garble func(userID string) bool
}

// New returns an application that does not listen yet: it is an [http.Handler].
func New(o Options) *Application {
	if o.Life == 0 {
		o.Life = 30 * time.Minute
	}
	if o.Users == nil {
		o.Users = []User{{"4711", "alice", "wonderland", "admin"}, {"4712", "bob", "builder", "user"}}
	}
	a := &Application{options: o, store: goredis.NewClient(&goredis.Options{Addr: o.Redis, MaxRetries: -1}), counts: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /legacy/login", a.login)
	mux.HandleFunc("POST /legacy/logout", a.logout)
	mux.HandleFunc("GET /legacy/introspect", a.whoAmI)
	mux.HandleFunc("POST /legacy/introspect", a.trusted(a.introspect))
	mux.HandleFunc("POST /legacy/sessions", a.trusted(a.issue))
	mux.HandleFunc("POST /legacy/revoke", a.trusted(a.revoke))
	mux.HandleFunc("/", page)
	a.handler = mux
	return a
}

// Start is [New], listening on a loopback address; an empty one chooses a free port.
func Start(address string, o Options) (*Application, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	a := New(o)
	a.address = listener.Addr().String()
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return a, nil
}

// Address is host:port of one that was started, URL its address with a scheme.
func (a *Application) Address() string { return a.address }

// URL is described at Address.
func (a *Application) URL() string { return "http://" + a.address }

// Stop ends it; its sessions stay in Redis.
func (a *Application) Stop() {
	if a.server != nil {
		_ = a.server.Close()
	}
	_ = a.store.Close()
}

// Ready waits until the store answers.
func (a *Application) Ready(ctx context.Context) error { return a.store.Ping(ctx).Err() }

// ServeHTTP implements [http.Handler].
func (a *Application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.counts[r.Method+" "+r.URL.Path]++
	a.mu.Unlock()
	a.handler.ServeHTTP(w, r)
}

// Count is how often an endpoint was asked, e.g. "POST /legacy/introspect".
func (a *Application) Count(endpoint string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[endpoint]
}

// Garble makes nonsense of what Keyturn is told about the sessions of some users, as a bad release of the application
// would: nobody can tell whose they are. The application itself still knows. Nil: of none.
func (a *Application) Garble(of func(userID string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.garble = of
}

func (a *Application) garbled(userID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.garble != nil && a.garble(userID)
}
