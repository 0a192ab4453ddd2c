package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keyturn/keyturn/internal/store"
)

// reasonError is an error whose text is a reason for the operator already.
type reasonError string

func (e reasonError) Error() string { return string(e) }

// The reasons that the store finds by itself.
const (
	errClosed   = reasonError("it is closed")
	errStarting = reasonError("the database has not answered yet")
	errReplaced = reasonError("the database was replaced, emptied or set back a moment ago")
	errDoubt    = reasonError("the wait for the synchronous standby was cut short: check that a standby of synchronous_standby_names is connected")
	errNoFlush  = reasonError("the server does not flush to disk (fsync=off), so a crash would lose revocations: set fsync=on, or durability=relaxed in the store's URL")
	errStandby  = reasonError("the server is a standby: name the primary, or all hosts, in the store's URL")
	errReadOnly = reasonError("the server takes no writes: name the primary, or all hosts, in the store's URL, or end default_transaction_read_only")
)

// codes are the SQLSTATEs that an operator can act on.
var codes = map[string]string{
	"28P01": "the server refuses the password: check the files username and password of the store's directory",
	"28000": "the server refuses the role: check the file username of the store's directory, pg_hba.conf and sslmode",
	"3D000": "the database does not exist: create it, or mend the store's URL",
	"53300": "the server has too many connections: raise max_connections, or run fewer token services (each takes up to 9)",
	"53100": "the server's disk is full: make room",
	"53200": "the server is out of memory",
	"25006": string(errReadOnly),
	"42501": "the role lacks a right: it must own the schema, or be allowed to create it",
	"57P03": "the server is starting up, shutting down or recovering",
	"57P01": "the server is shutting down",
	"57P02": "the server is recovering from a crash",
	"57014": "the server takes too long to answer",
	"55P03": "the server takes too long to answer: another transaction holds a lock",
	"25P03": "the server takes too long to answer",
}

// explain says why the store is not usable and how to mend it.
func explain(err error) string {
	var own reasonError
	var pg *pgconn.PgError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var verification *tls.CertificateVerificationError
	var network *net.OpError
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &own):
		return string(own)
	case errors.As(err, &pg):
		if text, known := codes[pg.Code]; known {
			return fmt.Sprintf("%s (%s, SQLSTATE %s)", text, pg.Message, pg.Code)
		}
		return fmt.Sprintf("the server answers: %s (SQLSTATE %s)", pg.Message, pg.Code)
	case errors.Is(err, pgconn.ErrReadOnlyConnection):
		return string(errReadOnly)
	case errors.As(err, &name):
		return "the server's certificate is for another name: " + name.Error() + ": use that name in the store's URL"
	case errors.As(err, &authority), errors.As(err, &verification):
		return "the server's certificate is not trusted: put its CA into the file ca.crt of the store's directory"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return fmt.Sprintf("the server does not answer within %s: check the address, the network and the server", operationTimeout)
	case errors.Is(err, context.Canceled):
		return "the caller went away"
	case errors.As(err, &network):
		return "the server cannot be reached: " + network.Error()
	case errors.As(err, &connect):
		return "the server cannot be reached: " + firstLine(connect.Unwrap().Error())
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the connection to the server was cut"
	default:
		return firstLine(err.Error())
	}
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text
}

func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return &storeError{cause: err}
}

// storeError wraps [store.ErrUnavailable] and the cause, and prints the reason: what the driver prints may be long.
type storeError struct{ cause error }

func (e *storeError) Error() string { return store.ErrUnavailable.Error() + ": " + explain(e.cause) }

func (e *storeError) Unwrap() []error { return []error{store.ErrUnavailable, e.cause} }

// aborted tells whether the server rolled the transaction back because of others.
func aborted(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// readOnly tells whether the server refused to write: nothing was changed.
func readOnly(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "25006"
}

// gone tells whether what the schema should hold is not there.
func gone(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42883" && strings.Contains(pg.Message, "base36"))
}

// answered tells whether the server itself reported err and the session goes on.
func answered(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Severity != "FATAL" && pg.Severity != "PANIC"
}
