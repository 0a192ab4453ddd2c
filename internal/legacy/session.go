package legacy

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// MaxCookieBytes bounds the value of a session's cookie: browsers keep no longer ones.
const MaxCookieBytes = 4096

var (
	// ErrInvalid says that there is no such session, it has expired, or nobody is logged in by it.
	ErrInvalid = errors.New("the legacy session is not valid")
	// ErrUnavailable says that the application, or its session store, could not be asked, or cannot be understood.
	ErrUnavailable = errors.New("legacy sessions cannot be checked")
	// ErrNoIssuer says that no issuer is configured, or the user is not one of the legacy application's.
	ErrNoIssuer = errors.New("nobody makes legacy sessions for this user")
)

// Session is what is known of a session. The zero value is nobody's.
type Session struct {
	// User is the subject: the prefix of the snapshot and the application's user id. It is what tokens have as `sub`.
	User string
	// Role may be empty. Claims are at most [identity.MaxClaims], none of the protocol's.
	Role   string
	Claims map[string]string
	// Expires is the end of the session, as far as it is known now; zero if it is not known. A session that is used may
	// live longer.
	Expires time.Time
}

func (s Session) clone() Session {
	s.Claims = maps.Clone(s.Claims)
	return s
}

// User is somebody who gets a session.
type User struct {
	Subject, Name, Role string
	Claims              map[string]string
}

// Issued is a session that was made or extended.
type Issued struct {
	// Cookies are to be set: send Raw of each, which is what the application wrote, byte for byte. Extend may have none:
	// then the cookie at hand goes on.
	Cookies []*http.Cookie
	Session Session
}

// Hash names a session without giving it away: base64url, without padding, of the SHA-256 of the cookie's value.
func Hash(cookie secret.Text) string {
	sum := sha256.Sum256([]byte(cookie.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// unavailable is an error for the log.
func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// apart makes an error one of the two refusals, and never both.
func apart(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
