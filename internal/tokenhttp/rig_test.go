package tokenhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
	"github.com/keyturn/keyturn/internal/token"
)

const canary = "canary-4711-password"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rig is a token service on the loopback network with an embedded store.
type rig struct {
	*testing.T
	dir      string
	url      string
	service  *Service
	store    *embedded.Store
	leases   *feed.Leases
	document atomic.Pointer[Document]
	issuer   snapshot.Issuer
	key      *token.PrivateKey
	clock    clock
	log      *logBuffer
	backend  store.Store // what the service uses, if not store
	server   *httptest.Server
	// born is the number of the entry that a new store begins with.
	born uint64
	note func(seen) // is told every answer, if not nil
	app  *legacyApp // the application with the old sessions, if not nil
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type logBuffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

const leaseLength = 400 * time.Millisecond

func hashed(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func issuerDocument(t testing.TB, key *token.PrivateKey) snapshot.Issuer {
	t.Helper()
	public := key.Public()
	return snapshot.Issuer{
		Header: snapshot.Header{Revision: 7, TokenService: "shop/auth", Issuer: "https://auth.example.com"},
		Keys: snapshot.KeySet{Name: "shop/keys", Epoch: 3, Active: key.KID(), ClockSkew: snapshot.Duration(time.Minute),
			Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: public.JWK()}}},
		SigningKey:     key.JWK(),
		JWKS:           snapshot.JWKSCaching{MaxAge: snapshot.Duration(5 * time.Minute), StaleIfError: snapshot.Duration(time.Hour)},
		Access:         snapshot.AccessToken{TTL: snapshot.Duration(15 * time.Minute), Audiences: []string{"shop"}, Claims: []string{"user_id", "role"}, MaxClaimBytes: 1024},
		Refresh:        snapshot.RefreshToken{IdleTTL: snapshot.Duration(168 * time.Hour), AbsoluteTTL: snapshot.Duration(720 * time.Hour), RetryWindow: snapshot.Duration(10 * time.Second), MaxFamiliesPerUser: 20},
		LoginLimit:     snapshot.RateLimit{Limit: 10, Window: snapshot.Duration(time.Minute)},
		MaxPropagation: snapshot.Duration(leaseLength),
		Identity: []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{
			Users: secret.NewText("alice:" + hashed(t, canary) + "\nbob:" + hashed(t, "builder")), Roles: "alice: admin"}}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
}

func newKey(t testing.TB) *token.PrivateKey {
	t.Helper()
	key, err := token.Generate(token.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), log: &logBuffer{}, key: newKey(t)}
	r.clock.now = start
	r.issuer = issuerDocument(t, r.key)
	r.use(r.issuer)
	r.open()
	var err error
	if r.born, err = r.store.Last(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// open starts the service on the rig's directory; again, it is a restart.
func (r *rig) open() {
	r.Helper()
	st, err := embedded.Open(r.dir)
	if err != nil {
		r.Fatal(err)
	}
	r.store = st
	r.leases = feed.NewLeases(func() time.Duration { return leaseLength }, time.Now)
	if r.backend == nil {
		r.backend = st
	}
	r.service = New(Config{
		Document: r.document.Load, Refused: func() *snapshot.Refusal { return nil },
		Families: r.backend, Sessions: r.backend, Limiter: r.backend, Acquaintances: r.backend, Edges: r.leases,
		Hasher: identity.NewHasher(2, 200), Log: slog.New(slog.NewJSONHandler(r.log, nil)), Now: r.clock.Now, Instance: "tokenservice-0",
	})
	r.server = httptest.NewUnstartedServer(nil)
	r.server.Config = NewServer(checked(r, r.service.Public(), r.note))
	r.server.Start()
	r.url = r.server.URL
	r.Cleanup(r.close)
}

func (r *rig) close() {
	r.server.Close()
	_ = r.store.Close()
}

func (r *rig) restart() {
	r.Helper()
	r.close()
	r.backend = nil
	r.open()
}

func (r *rig) use(doc snapshot.Issuer) {
	r.Helper()
	var options []BuildOption
	if r.app != nil {
		options = append(options, WithLegacy(func(string, snapshot.Legacy) (Legacy, error) { return r.app, nil }))
	}
	built, err := build(doc, r.document.Load(), options...)
	if err != nil {
		r.Fatal(err)
	}
	r.issuer = doc
	r.document.Store(built)
}

func build(doc snapshot.Issuer, current *Document, options ...BuildOption) (*Document, error) {
	raw, err := snapshot.EncodeIssuer(doc)
	if err != nil {
		return nil, err
	}
	return Build(nil, identity.NewHasher(2, 200), options...)(raw, current)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) text(name string) string { s, _ := a.body[name].(string); return s }

func (r *rig) do(method, path, body string, headers ...string) answer {
	r.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "-" {
			request.Header.Del(headers[i])
		} else {
			request.Header.Add(headers[i], headers[i+1])
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, raw: string(raw), body: map[string]any{}}
	_ = json.Unmarshal(raw, &a.body)
	return a
}

func object(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	raw, _ := json.Marshal(m)
	return string(raw)
}

func (r *rig) login(name, password string) answer {
	r.Helper()
	return r.do(http.MethodPost, "/auth/login", object("username", name, "password", password))
}

// loggedIn logs alice in from an address of its own, so that the limit stays out of the way.
func (r *rig) loggedIn(address string) answer {
	r.Helper()
	a := r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary), "X-Forwarded-For", address)
	r.want(a, http.StatusOK, "")
	return a
}

func (r *rig) refresh(text string) answer {
	r.Helper()
	return r.do(http.MethodPost, "/auth/refresh", object("refresh_token", text))
}

func (r *rig) logout(member, text string) answer {
	r.Helper()
	return r.do(http.MethodPost, "/auth/logout", object(member, text))
}

// want checks the status and the code of a problem, and what every answer of the kind must have.
func (r *rig) want(a answer, status int, code string) {
	r.Helper()
	if a.status != status || a.text("code") != code {
		r.Fatalf("answer %d %q, want %d %q: %s", a.status, a.text("code"), status, code, a.raw)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		r.Errorf("Cache-Control %q", a.header.Get("Cache-Control"))
	}
	if code != "" && (a.header.Get("Content-Type") != "application/problem+json" || a.body["status"] != float64(status) || a.text("title") == "") {
		r.Errorf("not a problem document: %s %s", a.header.Get("Content-Type"), a.raw)
	}
	if status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "" {
		r.Error("401 without WWW-Authenticate")
	}
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && a.header.Get("Retry-After") == "" {
		r.Error("no Retry-After")
	}
}

// claims verifies an access token with the published keys.
func (r *rig) claims(raw string) token.Claims {
	r.Helper()
	var public []*token.PublicKey
	for _, k := range r.issuer.Keys.Keys {
		key, err := token.ParsePublic(k.JWK)
		if err != nil {
			r.Fatal(err)
		}
		public = append(public, key)
	}
	set, err := token.NewKeySet(public...)
	if err != nil {
		r.Fatal(err)
	}
	v := (&token.Verifier{Issuer: "https://auth.example.com", Audiences: []string{"shop"}, Keys: set, MaxTTL: time.Hour, Skew: time.Minute}).Verify(r.clock.Now(), raw)
	if v.Outcome != policy.Valid {
		r.Fatalf("the access token is %s: %s", v.Outcome, v.Reason)
	}
	return v.Claims
}
