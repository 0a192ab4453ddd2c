package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/steering"
	"github.com/keyturn/keyturn/internal/store"
)

// LegacyValidator knows what an old session says. See [legacy.Source].
type LegacyValidator interface {
	Validate(ctx context.Context, cookie secret.Text) (legacy.Session, error)
	// Forget makes the next question about a cookie be asked, whatever is remembered.
	Forget(cookie secret.Text)
}

// LegacyIssuer makes old sessions, and extends them.
type LegacyIssuer interface {
	Issue(ctx context.Context, user legacy.User) (legacy.Issued, error)
	Extend(ctx context.Context, cookie secret.Text) (legacy.Issued, error)
}

// LegacyRevoker ends old sessions. Ending one that has ended is no error.
type LegacyRevoker interface {
	Revoke(ctx context.Context, cookie secret.Text) error
	// RevokeUser ends every session of a user.
	RevokeUser(ctx context.Context, subject string) error
}

// Legacy is how a document reaches the old sessions.
type Legacy interface {
	LegacyValidator
	LegacyIssuer
	LegacyRevoker
}

// legacyDown is for a process that reaches no old sessions.
type legacyDown struct{}

func (legacyDown) Validate(context.Context, secret.Text) (legacy.Session, error) {
	return legacy.Session{}, legacy.ErrUnavailable
}
func (legacyDown) Forget(secret.Text) {}
func (legacyDown) Issue(context.Context, legacy.User) (legacy.Issued, error) {
	return legacy.Issued{}, legacy.ErrUnavailable
}
func (legacyDown) Extend(context.Context, secret.Text) (legacy.Issued, error) {
	return legacy.Issued{}, legacy.ErrUnavailable
}
func (legacyDown) Revoke(context.Context, secret.Text) error { return legacy.ErrUnavailable }
func (legacyDown) RevokeUser(context.Context, string) error  { return legacy.ErrUnavailable }

// BuildOption is a part of documents that not every process needs.
type BuildOption func(*builder)

type builder struct {
	openLegacy func(cookie string, config snapshot.Legacy) (Legacy, error)
}

// WithLegacy reaches the old sessions, whose cookie has that name, by open. Without it they are never available.
func WithLegacy(open func(cookie string, config snapshot.Legacy) (Legacy, error)) BuildOption {
	return func(b *builder) { b.openLegacy = open }
}

// loadLegacy reads the rollout.
func (d *Document) loadLegacy(b builder) (err error) {
	if d.steer, err = steering.New(d.Rollout); err != nil || d.steer == nil {
		return err
	}
	if d.Legacy == nil {
		return errors.New("there is a rollout, and legacy is missing: it says who knows the old sessions")
	}
	for _, source := range d.Identity { // without a prefix the application answers whole subjects, of whichever source
		if d.Legacy.SubjectPrefix != "" && source.SubjectPrefix != d.Legacy.SubjectPrefix {
			d.strangers = append(d.strangers, source.SubjectPrefix)
		}
	}
	d.legacy = legacyDown{}
	if b.openLegacy != nil {
		d.legacy, err = b.openLegacy(d.Rollout.Cookie, *d.Legacy)
	}
	return err
}

// legacySource is the source of users whom an old session named. No source of a document can have this name: nobody but
// the session can be asked about them.
const legacySource = "@legacy"

// shownSession is the old session that a request shows. The zero value shows none.
type shownSession struct {
	legacy.Session
	cookie secret.Text
	// err is why it is not live; nil with a cookie means that it is.
	err error
	// before is what the user's revocations said when the application was asked.
	before uint64
}

func (s shownSession) live() bool { return !s.cookie.Empty() && s.err == nil }

// hash stands for the cookie on the feed and in the log.
func (s shownSession) hash() string { return revocation.LegacyHash(s.cookie.Reveal()) }

// lookAt asks what an old session says. One that a logout here has ended is not live, whatever the application says.
func (s *Service) lookAt(ctx context.Context, doc *Document, cookie secret.Text) shownSession {
	if cookie.Empty() {
		return shownSession{}
	}
	shown := s.notEnded(s.freshFor(ctx, doc, s.validated(ctx, doc, cookie)))
	if shown.err == nil && s.Revocations != nil && !s.Revocations.Loaded() {
		shown.err = fmt.Errorf("%w: the revocations are not loaded", legacy.ErrUnavailable)
	}
	return shown
}

// notEnded refuses a session that a logout or a revocation here has ended, as far as this replica knows.
func (s *Service) notEnded(shown shownSession) shownSession {
	if shown.err == nil && s.Revocations != nil && s.Revocations.Revoked(revocation.Credential{User: shown.User, Legacy: shown.hash()}) {
		shown.err = legacy.ErrInvalid
	}
	return shown
}

// validated asks the application only.
func (s *Service) validated(ctx context.Context, doc *Document, cookie secret.Text) shownSession {
	session, err := doc.legacy.Validate(ctx, cookie)
	if err == nil && (session.User == "" || !session.Expires.IsZero() && session.Expires.Sub(s.Now()) < 2*time.Second) {
		err = legacy.ErrInvalid
	}
	if err == nil && doc.strange(session.User) {
		err = fmt.Errorf("%w: it names a user of an identity source with another subjectPrefix: give legacy.subjectPrefix that of the source that logs the same users in", legacy.ErrUnavailable)
	}
	s.legacyDone("validate", err)
	return shownSession{Session: session, cookie: cookie, err: err}
}

// strange tells whether a session's user is, or could be, one of a source whose users the application does not have. It is
// refused one by one, not with the document: that has the keys, too. And nobody is logged out by it, since it can be mended.
func (d *Document) strange(user string) bool {
	return slices.ContainsFunc(d.strangers, func(prefix string) bool { return strings.HasPrefix(user, prefix) })
}

// legacyDone counts a question to the application, and logs that it was not answered.
func (s *Service) legacyDone(operation string, err error) {
	result := "ok"
	switch {
	case errors.Is(err, legacy.ErrInvalid):
		result = "invalid"
	case errors.Is(err, legacy.ErrNoIssuer):
		result = "none"
	case errors.Is(err, context.Canceled):
		result = "cancelled"
	case err != nil:
		result = "unavailable"
		s.Log.Error("legacy_unavailable", "operation", operation, "error", err.Error())
	}
	s.metrics.legacy.WithLabelValues(operation, result).Inc()
}

var errLegacy = unavailable(CodeLegacyUnavailable, "The application that has the old sessions does not answer")

func conflicting() *Problem {
	return &Problem{Status: http.StatusForbidden, Code: CodeConflicting, Title: "The request shows credentials of different users",
		Detail: "log out of one of them: log in again, which replaces both"}
}

// auditConflict notes a request with credentials of two users.
func (s *Service) auditConflict(r *http.Request, doc *Document, at, token, session string) {
	client, _ := clientAddress(r, doc.TrustedProxies)
	s.Log.Warn("conflicting_credentials", "at", at, "token_user", token, "session_user", session, "client", client.String())
}

// user is whom the session names, as a family keeps them.
func (s shownSession) user() identity.User {
	return identity.User{Subject: s.User, Name: s.User, Source: legacySource, Role: s.Role, Claims: s.Claims, Remembered: true}
}

// lookup finds out who the owner of a family is today. Users of an old session are who the session said, or says today
// if it is shown.
func (s *Service) lookup(ctx context.Context, m mint, owner store.Owner, beside shownSession) (identity.User, error) {
	if owner.Source != legacySource {
		return m.doc.users.Lookup(ctx, kept(owner))
	}
	if beside.live() && beside.User == owner.Subject {
		return beside.user(), nil
	}
	return kept(owner), nil
}

// prolonged is when a family that came of a session ends at the latest. A session that is used may live longer than the
// family was told when it was made: where one of the same user is shown and was found to live just now, the family lives as
// long as it, and never longer than the policy lets any login. The zero time is for families of other sources.
func (m mint) prolonged(family store.Family, beside shownSession) time.Time {
	if family.Source != legacySource {
		return time.Time{}
	}
	until := family.AbsoluteExpiry
	if !beside.live() || beside.User != family.Subject {
		return until
	}
	end, most := m.bound(beside), family.Created.Add(m.doc.limits().Absolute)
	if end.IsZero() || end.After(most) {
		end = most
	}
	if end.After(until) {
		return end
	}
	return until
}

// bound is when a login that comes of a live session must end: with the session. From the deprecation on nothing but the
// policy bounds it, which is the zero time: sessions are about to end for everybody, and whoever was active until then would be
// logged out by it.
func (m mint) bound(live shownSession) time.Time {
	if m.doc.steer.Rules().Schedule.Stage(m.now) != rollout.Migrating {
		return time.Time{}
	}
	return live.Expires
}

// tokenCookiePrefixes begin the names of our own cookies.
var tokenCookiePrefixes = []string{"__Host-keyturn-", "__Secure-keyturn-"}

// passOn gives the browser the cookies of a session as the application made them. None of them can be one of ours.
func passOn(w http.ResponseWriter, cookies []*http.Cookie) {
	for _, c := range cookies {
		ours := false
		for _, prefix := range tokenCookiePrefixes {
			ours = ours || len(c.Name) >= len(prefix) && strings.EqualFold(c.Name[:len(prefix)], prefix)
		}
		line := c.Raw
		if line == "" {
			line = c.String()
		}
		if !ours && line != "" {
			w.Header().Add("Set-Cookie", line)
		}
	}
}

// clearSession takes the session's cookie away from the browser. One that was set for a whole domain stays; what it
// leads to has ended.
func clearSession(w http.ResponseWriter, doc *Document) {
	http.SetCookie(w, &http.Cookie{Name: doc.steer.Cookie(), Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
}

// writeSession is the answer that gives, or leaves, somebody an old session and no tokens.
func writeSession(w http.ResponseWriter, now time.Time, session legacy.Session) {
	var left int64
	if !session.Expires.IsZero() {
		left = max(int64(session.Expires.Sub(now)/time.Second), 1)
	}
	writeJSON(w, struct {
		TokenType string `json:"token_type"`
		ExpiresIn int64  `json:"expires_in,omitempty"`
	}{"session", left})
}
