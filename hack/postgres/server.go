package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/hack/cluster/process"
	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/port"
)

// Superuser is the role that may do everything on a [Server].
const Superuser = "postgres"

// Options describe a server. The zero value is one without TLS, that asks for a password and flushes to disk.
type Options struct {
	// TLS makes a certificate and refuses clear text.
	TLS bool
	// Settings are those of postgresql.conf, e.g. "max_connections": "10".
	Settings map[string]string
	// Log gets what [Find] does; nil: nobody. The server's own log is in Dir/log.
	Log io.Writer
}

// Server is a running, or stopped, PostgreSQL.
type Server struct {
	// Dir is the temporary directory with data, log and certificate.
	Dir string
	// Password is that of [Superuser].
	Password string
	// CA signs the server's certificate; nil without TLS.
	CA []byte

	programs  Programs
	port      *port.Kept // its own while the server is down, too
	options   Options
	process   *process.Process
	databases atomic.Int64
}

// Start initialises and starts a server. Stop it.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.Log == nil {
		options.Log = io.Discard
	}
	cache, err := debian.CacheDir()
	if err != nil {
		return nil, err
	}
	programs, err := Find(ctx, cache, options.Log)
	if err != nil {
		return nil, err
	}
	return start(ctx, programs, options)
}

func start(ctx context.Context, programs Programs, options Options) (*Server, error) {
	dir, err := os.MkdirTemp("", "keyturn-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, Password: rand.Text(), programs: programs, options: options}
	if err := s.begin(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) begin(ctx context.Context) (err error) {
	if s.port, err = port.Keep(); err != nil {
		return err
	}
	if s.options.TLS {
		if err := s.certify(); err != nil {
			return err
		}
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	return s.Run(ctx)
}

// initialise makes the data directory.
func (s *Server) initialise(ctx context.Context) error {
	password := filepath.Join(s.Dir, "password")
	if err := os.WriteFile(password, []byte(s.Password), 0o600); err != nil {
		return err
	}
	if err := give(s.Dir, password); err != nil {
		return err
	}
	cmd := s.programs.command(ctx, s.programs.Initdb, "--pgdata", s.data(), "--username", Superuser, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	host := "host"
	if s.options.TLS {
		host = "hostssl"
	}
	if err := s.write(filepath.Join(s.data(), "pg_hba.conf"), host+" all,replication all 127.0.0.1/32 scram-sha-256\n"); err != nil {
		return err
	}
	text := fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\nshared_buffers = '16MB'\n"+
		"max_connections = 60\nlog_min_messages = warning\ntimezone = 'UTC'\n", s.port.Number())
	if s.options.TLS {
		text += fmt.Sprintf("ssl = on\nssl_cert_file = '%s'\nssl_key_file = '%s'\n", s.file("tls.crt"), s.file("tls.key"))
	}
	for name, value := range s.options.Settings {
		text += fmt.Sprintf("%s = '%s'\n", name, value)
	}
	return s.write(filepath.Join(s.data(), "keyturn.conf"), text, "include 'keyturn.conf'\n")
}

// write writes a file of the server's; more is appended to postgresql.conf.
func (s *Server) write(path, text string, more ...string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	for _, line := range more {
		conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = conf.WriteString(line)
		if err := errors.Join(err, conf.Close()); err != nil {
			return err
		}
	}
	return give(path)
}

// Run starts the server again after [Server.Kill] or [Server.Halt], on the same port with the same data, and waits
// until it answers.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // a busy machine takes long to replay a log
	defer cancel()
	for {
		began := len(s.Log())
		err := s.run(ctx)
		// The processes of a server that was killed hold its memory until they have noticed.
		if err == nil || ctx.Err() != nil || !strings.Contains(s.Log()[began:], "pre-existing shared memory block") {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// run starts the server once.
func (s *Server) run(ctx context.Context) error {
	logFile, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close() //nolint:errcheck // the server has its own handle
	cmd := s.programs.command(context.WithoutCancel(ctx), s.programs.Postgres, "-D", s.data())
	cmd.Cancel = nil
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if s.process, err = process.Start(cmd); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = s.Exec(ctx, Superuser, "SELECT 1"); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.process.Done():
			return fmt.Errorf("the server ended: %s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w: %s", err, s.Log())
		}
	}
}

// Log is what the server wrote.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.file("log")) // there may be none yet
	return string(text)
}

// Address is host:port.
func (s *Server) Address() string { return s.port.Address() }

// Exec runs statements as [Superuser] in a database.
func (s *Server) Exec(ctx context.Context, database string, statements ...string) error {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it is not needed any more
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return nil
}

// Connect opens a connection as [Superuser].
func (s *Server) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	mode := "disable"
	if s.options.TLS {
		mode = "require"
	}
	return pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=%s connect_timeout=5",
		s.port.Number(), Superuser, s.Password, database, mode))
}

// NewDatabase makes an empty database that a new role with the same name and password owns, and returns the name.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	return name, s.Exec(ctx, Superuser,
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, name), fmt.Sprintf("CREATE DATABASE %s OWNER %s", name, name))
}

// Halt stops the server in good order and keeps its data.
func (s *Server) Halt() {
	s.process.Signal(syscall.SIGINT) // "fast": it does not wait for clients
	select {
	case <-s.process.Done():
	case <-time.After(20 * time.Second):
		s.Kill()
	}
}

// Stop ends the server, in whatever state it is, and removes its data.
func (s *Server) Stop() {
	if s.process != nil {
		s.Kill()
	}
	_ = os.RemoveAll(s.Dir)
}

func (s *Server) data() string            { return s.file("data") }
func (s *Server) file(name string) string { return filepath.Join(s.Dir, name) }
