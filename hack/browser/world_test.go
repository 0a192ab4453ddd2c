package browser

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/pem"
	"fmt"
	"html/template"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/nginx"
	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

//go:embed page
var pages embed.FS

const (
	user     = "alice"
	password = "correct horse battery"
	// life of an access token: short, because the tests wait for its end, and long enough that a page which has just got a new
	// one comes back with it, also on a machine with other work to do.
	life = 5 * time.Second
)

// world is everything behind the browser.
type world struct {
	*testing.T
	dir string
	url string // of nginx, by TLS
}

// newWorld starts token service and edge as processes, the sample application, and nginx in front.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	bin := filepath.Join(w.dir, "bin")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "github.com/keyturn/keyturn/cmd/tokenservice", "github.com/keyturn/keyturn/cmd/extauthz")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	issuerAddress, feedAddress, edgeAddress, front := port.For(t), port.For(t), port.For(t), port.For(t)
	w.url = "https://" + front
	w.writeSnapshots(feedAddress)
	w.start(filepath.Join(bin, "tokenservice"), "--snapshot", w.path("issuer"), "--data-dir", w.path("data"),
		"--listen", issuerAddress, "--feed-listen", feedAddress, "--internal-listen", port.For(t))
	internal := port.For(t)
	w.start(filepath.Join(bin, "extauthz"), "--snapshot", w.path("edge"), "--http-listen", edgeAddress,
		"--grpc-listen", port.For(t), "--internal-listen", internal)
	w.awaitReady("http://" + internal + "/readyz")

	application := httptest.NewServer(sample())
	t.Cleanup(application.Close)
	w.startNginx(nginx.Addresses{
		Listen: front, ExtAuthz: edgeAddress, TokenService: issuerAddress,
		Application: strings.TrimPrefix(application.URL, "http://"),
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, content []byte) {
	w.Helper()
	if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) start(program string, args ...string) {
	w.Helper()
	cmd := exec.Command(program, args...)
	log := &bytes.Buffer{}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if w.Failed() {
			w.Logf("%s:\n%s", filepath.Base(program), log)
		}
	})
}

func (w *world) awaitReady(url string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if response, err := http.Get(url); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			w.Fatal("the edge does not become ready")
		case <-tick.C:
		}
	}
}

func (w *world) writeSnapshots(feedAddress string) {
	w.Helper()
	key, err := token.Generate(token.ES256, 0)
	if err != nil {
		w.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		w.Fatal(err)
	}
	header := snapshot.Header{Revision: 1, TokenService: "demo/web", Issuer: w.url}
	keys := snapshot.KeySet{Name: "demo/main", Epoch: 1, Active: key.KID(),
		Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: key.Public().JWK()}}}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	minutes := func(n int) snapshot.Duration { return snapshot.Duration(time.Duration(n) * time.Minute) }
	issuer, err := snapshot.EncodeIssuer(snapshot.Issuer{
		Header: header, Keys: keys, SigningKey: key.JWK(), JWKS: snapshot.JWKSCaching{MaxAge: minutes(5)},
		Access:         snapshot.AccessToken{TTL: snapshot.Duration(life), Audiences: []string{"shop"}, Claims: []string{"user_id", "role"}, MaxClaimBytes: 1024},
		Refresh:        snapshot.RefreshToken{IdleTTL: minutes(60), AbsoluteTTL: minutes(600), RetryWindow: snapshot.Duration(10 * time.Second), MaxFamiliesPerUser: 20},
		LoginLimit:     snapshot.RateLimit{Limit: 100, Window: minutes(1)},
		Browser:        snapshot.Browser{Cookies: snapshot.CookiesOptional, LoginURL: "/login/"},
		MaxPropagation: snapshot.Duration(2 * time.Second),
		Identity:       []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText(user + ":" + string(hash))}}},
		TrustedProxies: loopback,
	})
	if err != nil {
		w.Fatal(err)
	}
	edge, err := snapshot.EncodeEdge(snapshot.Edge{
		Header: header, Keys: keys, Audiences: []string{"shop"}, MaxTTL: minutes(1), Claims: []string{"user_id", "role"},
		TrustedProxies: loopback, Feed: snapshot.FeedAddress{Address: feedAddress}, MaxPropagation: snapshot.Duration(2 * time.Second),
		OnStaleRevocation: snapshot.AllowUntilExpiry, AccessCookie: snapshot.AccessCookie,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.write("issuer", issuer)
	w.write("edge", edge)
}

// startNginx runs the documented recipe with TLS and cookies, and a login page that is not protected.
func (w *world) startNginx(addresses nginx.Addresses) {
	w.Helper()
	recipe, err := os.ReadFile(filepath.Join("..", "..", "docs", "ingress", "nginx.conf"))
	if err != nil {
		w.Fatal(err)
	}
	const protected = "  # Everything that a person or an app protected by Keyturn asks for.\n"
	text := strings.Replace(string(recipe), protected, documentedLogin(w.T)+"\n"+protected, 1)
	text = strings.Replace(text, "set $keyturn_cookies no;", "set $keyturn_cookies yes;", 1)
	if strings.Count(text, "location /login/") != 1 || strings.Count(text, "set $keyturn_cookies yes;") != 1 {
		w.Fatal("docs/ingress/nginx.conf has changed: bring this test along")
	}
	w.certificate()
	listen := addresses.Listen
	addresses.Listen += fmt.Sprintf(" ssl; ssl_certificate %s; ssl_certificate_key %s", w.path("tls.crt"), w.path("tls.key"))
	if err := nginx.Configure(w.dir, text, addresses); err != nil {
		w.Fatal(err)
	}
	cache, err := debian.CacheDir()
	if err != nil {
		w.Fatal(err)
	}
	path, err := nginx.Find(w.Context(), cache, os.Stderr)
	if err != nil {
		w.Fatal(err)
	}
	server, err := nginx.Start(w.Context(), path, w.dir, listen)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		server.Stop()
		if w.Failed() {
			log, _ := os.ReadFile(w.path("nginx.log"))
			w.Logf("nginx:\n%s", log)
		}
	})
}

func (w *world) certificate() {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.Fatal(err)
	}
	w.write("tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	w.write("tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// sample is the application: it believes what nginx tells it of the user.
func sample() http.Handler {
	app := template.Must(template.ParseFS(pages, "page/app.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pages, "page/login.html") })
	for _, script := range []string{"login.js", "app.js"} {
		mux.HandleFunc("GET /login/"+script, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pages, "page/"+script) })
	}
	mux.HandleFunc("GET /api/me", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Header.Get("X-Auth-User"))) })
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_ = app.Execute(w, map[string]string{"User": r.Header.Get("X-Auth-User"), "Page": r.URL.RequestURI()})
	})
	return mux
}
