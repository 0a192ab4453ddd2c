package legacy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Source is what one snapshot says about legacy sessions. It does not change, and is safe for concurrent use.
type Source struct {
	prefix    string
	validator *validator
	issuer    *issuer // nil: no sessions are made
	revoker   revoker // nil: sessions are not ended
}

// revoker ends sessions. Ending one that is not there is a success. A user is the application's id of one.
type revoker interface {
	closer
	revoke(ctx context.Context, cookie secret.Text) error
	revokeUser(ctx context.Context, user string) error
}

// New builds a source. cookie is the name of the session's cookie: no other is taken from the issuer. keeper keeps what
// outlives a snapshot: what an unchanged configuration has learnt is there again in the next source.
func New(cookie string, config snapshot.Legacy, keeper *Keeper) (*Source, error) {
	if !isCookieName(cookie) {
		return nil, fmt.Errorf("%.80q cannot be the name of the legacy session's cookie: letters, digits, - _ and . are allowed, and not the names of our own", cookie)
	}
	o := &opening{keeper, map[string]closer{}}
	s, err := build(o, cookie, config)
	if err != nil {
		o.abandon()
		return nil, err
	}
	o.commit()
	return s, nil
}

func build(o *opening, cookie string, config snapshot.Legacy) (s *Source, err error) {
	s = &Source{prefix: config.SubjectPrefix}
	if s.validator, err = openValidator(o, config); err != nil {
		return nil, fmt.Errorf("legacy validator: %w", err)
	}
	if config.Issuer != nil {
		if s.issuer, err = openIssuer(o, cookie, *config.Issuer); err != nil {
			return nil, fmt.Errorf("legacy issuer: %w", err)
		}
	}
	if config.Revoker != nil {
		if s.revoker, err = openRevoker(o, *config.Revoker); err != nil {
			return nil, fmt.Errorf("legacy revoker: %w", err)
		}
	}
	return s, nil
}

// errUnion is for a union without exactly one member.
var errUnion = errors.New("exactly one of http and redis must be there")

// Validate says whose session a cookie is. It fails with [ErrInvalid] or [ErrUnavailable], never with both; if ctx ends
// first, with the latter. What it knows may be 10 seconds old.
func (s *Source) Validate(ctx context.Context, cookie secret.Text) (Session, error) {
	return s.validator.validate(ctx, cookie)
}

// Issue has a session made for a user who has logged in. It fails with [ErrNoIssuer] or [ErrUnavailable].
func (s *Source) Issue(ctx context.Context, user User) (Issued, error) {
	id, ours := s.own(user.Subject)
	if s.issuer == nil || !ours {
		return Issued{}, ErrNoIssuer
	}
	issued, err := s.issuer.issue(ctx, question{UserID: id, Name: user.Name, Role: user.Role, Claims: user.Claims})
	if err != nil {
		return Issued{}, apart(err)
	}
	issued.Session.User, issued.Session.Role, issued.Session.Claims = user.Subject, user.Role, user.Claims
	return issued, nil
}

// Extend has a session go on for as long as a new one would. It fails with [ErrInvalid], also if the session ended
// meanwhile, [ErrNoIssuer] or [ErrUnavailable].
func (s *Source) Extend(ctx context.Context, cookie secret.Text) (Issued, error) {
	if s.issuer == nil {
		return Issued{}, ErrNoIssuer
	}
	session, err := s.Validate(ctx, cookie)
	if err != nil {
		return Issued{}, err
	}
	id, _ := s.own(session.User)
	issued, err := s.issuer.issue(ctx, question{UserID: id, Role: session.Role, Claims: session.Claims, Session: cookie.Reveal()})
	s.validator.forget(cookie) // its end is another, or it is gone
	if err != nil {
		return Issued{}, apart(err)
	}
	expires := issued.Session.Expires
	if expires.IsZero() && len(issued.Cookies) == 0 {
		expires = session.Expires
	}
	issued.Session = session
	issued.Session.Expires = expires
	return issued, nil
}

// Forget makes the next question about a cookie be asked, whatever is remembered.
func (s *Source) Forget(cookie secret.Text) { s.validator.forget(cookie) }

// Revoke ends a session. A cookie that is no session's is a success. Where no revoker is configured, the session is only
// forgotten here, and the caller's list of revoked hashes is what refuses it. It fails with [ErrUnavailable].
func (s *Source) Revoke(ctx context.Context, cookie secret.Text) error {
	s.validator.forget(cookie)
	if s.revoker == nil || !plausible(cookie.Reveal()) {
		return nil
	}
	err := s.revoker.revoke(ctx, cookie)
	s.validator.forget(cookie) // somebody may have asked in between
	return ended(err)
}

// RevokeUser ends all sessions of a user. Where no revoker is configured, or one that cannot find a user's sessions, they
// are only forgotten here. A user who is not the application's is a success. It fails with [ErrUnavailable].
func (s *Source) RevokeUser(ctx context.Context, subject string) error {
	s.validator.forgetUser(subject)
	id, ours := s.own(subject)
	if s.revoker == nil || !ours {
		return nil
	}
	err := s.revoker.revokeUser(ctx, id)
	s.validator.forgetUser(subject)
	return ended(err)
}

// ended: what is not valid any more is revoked.
func ended(err error) error {
	if errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnavailable) {
		return nil
	}
	return apart(err)
}

// own returns the application's id of a user.
func (s *Source) own(subject string) (string, bool) {
	id, ours := strings.CutPrefix(subject, s.prefix)
	return id, ours && id != ""
}
