package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"github.com/keyturn/keyturn/hack/cluster/process"
	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// What is measured: the defaults of a TokenPolicy and a SigningKeySet, and argon2id as OWASP recommends it at least.
const (
	rsaBits      = 2048
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonTag     = 32
	password     = "correct horse battery staple"
	audience     = "shop"
	// accessBytes and refreshBytes are about what tokens have; the bare server answers with as much.
	accessBytes, refreshBytes = 780, 68
)

// memoryLimit is the GOMEMLIMIT that the operator gives a token service: half of the container's 450Mi.
const memoryLimit = "235929600B"

// The accounts. A person logs in with argon2id and is what is measured; a newcomer has a hash that costs next to nothing,
// so that ten thousand sessions can be made before the clock runs. Several users share an account, as several browsers do.
const (
	persons   = 1000
	newcomers = 1000
)

func personName(user int) string   { return fmt.Sprintf("person-%d", user%persons) }
func newcomerName(user int) string { return fmt.Sprintf("newcomer-%d", user%newcomers) }

// world is what runs: the two programs and what they are compared with.
type world struct {
	dir    string
	issuer snapshot.Issuer
	// key signs; quickKey is another that the edge knows, ES256.
	key, quickKey *token.PrivateKey
	// env is what the two programs get besides; it decides last.
	env []string

	token, edge service
	// nullToken and nullEdge stand for the two in the comparison; crypto computes.
	nullToken, nullEdge service
	crypto              *worker
}

// service is a process that answers on an address.
type service struct {
	*process.Process
	address string
	log     string
}

// issuer is the token service's.
const issuer = "https://auth.example.com"

func build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "github.com/keyturn/keyturn/cmd/tokenservice", "github.com/keyturn/keyturn/cmd/extauthz")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// open builds and starts everything. Whatever happens, close it.
func (w *world) open(ctx context.Context) error {
	if err := build(ctx, w.dir); err != nil {
		return err
	}
	kept, err := port.Keep()
	if err != nil {
		return err
	}
	defer kept.Release()
	feed := kept.Address()
	if err := w.writeDocuments(feed); err != nil {
		return err
	}
	listen := []string{"--internal-listen", "127.0.0.1:0", "--instance", "bench-0"}
	files := func(name string) string { return filepath.Join(w.dir, name) }
	w.token, err = w.start(ctx, "tokenservice", "listen", append(listen, "--snapshot", files("issuer.json"), "--identity-dir", files("identity"),
		"--data-dir", files("data"), "--listen", "127.0.0.1:0", "--feed-listen", feed))
	if err != nil {
		return err
	}
	w.edge, err = w.start(ctx, "extauthz", "http", append(listen, "--snapshot", files("edge.json"), "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"))
	if err != nil {
		return err
	}
	for _, s := range []*service{&w.nullToken, &w.nullEdge} {
		if err := s.startNull(); err != nil {
			return err
		}
	}
	if w.crypto, err = startCrypto(); err != nil {
		return err
	}
	unix.Sync() // what the build wrote must not delay the store's first flushes
	return w.settle(ctx)
}

// settle waits for the lease that a token service lets pass after its start before it answers a logout.
func (w *world) settle(ctx context.Context) error {
	select {
	case <-time.After(w.issuer.MaxPropagation.Std()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends every process; what it measured is known by then.
func (w *world) close() {
	for _, s := range []service{w.token, w.edge, w.nullToken, w.nullEdge} {
		if s.Process != nil {
			s.Kill()
		}
	}
	if w.crypto != nil {
		w.crypto.Kill()
	}
}

func (w *world) writeDocuments(feed string) error {
	key, err := token.Generate(token.RS256, rsaBits)
	if err != nil {
		return err
	}
	if w.key = key; w.quickKey == nil {
		if w.quickKey, err = token.Generate(token.ES256, 0); err != nil {
			return err
		}
	}
	header := snapshot.Header{Revision: 1, TokenService: "bench/auth", Issuer: issuer}
	keys := snapshot.KeySet{Name: "bench/keys", Epoch: 1, Active: key.KID(), ClockSkew: snapshot.Duration(time.Minute),
		Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: key.Public().JWK()}}}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	w.issuer = snapshot.Issuer{
		Header: header, Keys: keys, SigningKey: key.JWK(),
		Access: snapshot.AccessToken{TTL: snapshot.Duration(15 * time.Minute), Audiences: []string{audience}, Claims: []string{"user_id", "role"}, MaxClaimBytes: 1024},
		Refresh: snapshot.RefreshToken{IdleTTL: snapshot.Duration(168 * time.Hour), AbsoluteTTL: snapshot.Duration(720 * time.Hour),
			RetryWindow: snapshot.Duration(10 * time.Second), MaxFamiliesPerUser: 100},
		LoginLimit:     snapshot.RateLimit{Limit: 10, Window: snapshot.Duration(time.Minute)},
		MaxPropagation: snapshot.Duration(5 * time.Second), TrustedProxies: loopback,
	}
	if err := w.writeUsers(); err != nil {
		return err
	}
	raw, err := snapshot.EncodeIssuer(w.issuer)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "issuer.json"), raw, 0o600); err != nil {
		return err
	}
	quick := w.quickKey.Public()
	keys.Keys = append(keys.Keys, snapshot.Key{KID: quick.KID(), Algorithm: string(quick.Algorithm()), JWK: quick.JWK()})
	raw, err = snapshot.EncodeEdge(snapshot.Edge{
		Header: header, Keys: keys, Audiences: []string{audience}, MaxTTL: snapshot.Duration(time.Hour), Claims: []string{"user_id", "role"},
		TrustedProxies: loopback, Feed: snapshot.FeedAddress{Address: feed}, MaxPropagation: w.issuer.MaxPropagation,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "edge.json"), raw, 0o600)
}

// writeUsers writes the htpasswd sources. All accounts of a source share one hash: checking one costs what checking any
// costs, and making thousands would take minutes.
func (w *world) writeUsers() error {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	tag, b64 := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonTag), base64.RawStdEncoding
	slow := fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(tag))
	quick, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	return errors.Join(w.writeSource("people", slow, persons, personName), w.writeSource("newcomers", string(quick), newcomers, newcomerName))
}

func (w *world) writeSource(source, hash string, count int, name func(i int) string) error {
	dir := filepath.Join(w.dir, "identity", source)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var list, roles strings.Builder
	for i := range count {
		fmt.Fprintf(&list, "%s:%s\n", name(i), hash)
		fmt.Fprintf(&roles, "%s: customer\n", name(i))
	}
	w.issuer.Identity = append(w.issuer.Identity, snapshot.IdentitySource{Name: source, SubjectPrefix: source + ":", Htpasswd: &snapshot.Htpasswd{Users: secret.Text{}}})
	return errors.Join(os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(list.String()), 0o600), os.WriteFile(filepath.Join(dir, "roles"), []byte(roles.String()), 0o600))
}

// start runs a program of ours until it is ready. addressKey is the member of its log with its address.
func (w *world) start(ctx context.Context, program, addressKey string, args []string) (service, error) {
	return w.startAs(ctx, program, program, addressKey, args, func(cmd *exec.Cmd) (*exec.Cmd, error) { return cmd, nil })
}

// startAs is start for a program that is started in some way and whose log has another name.
func (w *world) startAs(ctx context.Context, name, program, addressKey string, args []string, as func(*exec.Cmd) (*exec.Cmd, error)) (service, error) {
	logPath := filepath.Join(w.dir, name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return service{}, err
	}
	defer log.Close() //nolint:errcheck // the program has its own
	cmd := exec.Command(filepath.Join(w.dir, program), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(withoutGoSettings(os.Environ()), "GOMEMLIMIT="+memoryLimit)
	cmd.Env = append(cmd.Env, w.env...)
	if cmd, err = as(cmd); err != nil {
		return service{}, err
	}
	p, err := process.Start(cmd)
	if err != nil {
		return service{}, err
	}
	s := service{Process: p, log: logPath}
	for deadline := time.Now().Add(30 * time.Second); ; {
		raw, _ := os.ReadFile(logPath)
		var internal string
		if s.address, internal = addresses(raw, addressKey); s.address != "" && ready(ctx, internal) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-p.Done():
			return s, fmt.Errorf("%s ended:\n%s", program, raw)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.Kill()
			return s, fmt.Errorf("%s was not ready within 30 s:\n%s", program, raw)
		}
	}
}
