package identity

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Directory asks sources in order. It is immutable and safe for concurrent use; the zero value denies everybody.
type Directory struct {
	entries []entry
	hasher  *Hasher
}

// entry is a source with what the snapshot says about it.
type entry struct {
	source
	name, prefix string
	// issuer is the `iss` of the tokens it takes in exchange, kind their type; empty for none.
	issuer, kind string
}

var sourceForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// New builds a directory of the sources of a snapshot. issuer is our own `iss`, which Kubernetes tokens must name as
// their audience; an empty one is refused where there is such a source. sources keeps what outlives a snapshot: what
// an unchanged source has learnt is there again in the next directory, and what only the former one needed ends. It
// may be nil for htpasswd lists inside the snapshot.
func New(issuer string, configured []snapshot.IdentitySource, sources *Sources, hasher *Hasher) (*Directory, error) {
	d := &Directory{hasher: hasher}
	next := sources.begin()
	defer next.end()
	for i, c := range configured {
		// The name becomes a part of a path.
		if !sourceForm.MatchString(c.Name) {
			return nil, fmt.Errorf("identity source %.80q: names have 1 to 63 lower-case letters, digits or dashes", c.Name)
		}
		e, err := build(issuer, c, next, hasher)
		if err == nil {
			err = apart(c, e, configured[:i], d.entries)
		}
		if err != nil {
			return nil, fmt.Errorf("identity source %s: %w", c.Name, err)
		}
		d.entries = append(d.entries, e)
	}
	next.commit()
	return d, nil
}

// apart makes sure that a source cannot be taken for one before it.
func apart(c snapshot.IdentitySource, e entry, before []snapshot.IdentitySource, entries []entry) error {
	for i, other := range before {
		switch {
		case other.Name == c.Name:
			return errors.New("another source has the same name")
		case strings.HasPrefix(c.SubjectPrefix, other.SubjectPrefix), strings.HasPrefix(other.SubjectPrefix, c.SubjectPrefix):
			return fmt.Errorf("its subjectPrefix and that of %s begin alike, so two users could get one sub: "+
				"no prefix may be the beginning of another, and the empty one is the beginning of all", other.Name)
		case e.issuer != "" && entries[i].issuer == e.issuer:
			return fmt.Errorf("%s takes the tokens of the same issuer", other.Name)
		}
	}
	return nil
}

func build(issuer string, c snapshot.IdentitySource, next *opening, hasher *Hasher) (entry, error) {
	e := entry{name: c.Name, prefix: c.SubjectPrefix}
	kinds := 0
	var err error
	if c.Htpasswd != nil {
		kinds++
		e.source, err = newHtpasswd(c, next, hasher)
	}
	if c.Webhook != nil {
		kinds++
		e.source, err = newWebhook(c, next)
	}
	if c.OIDC != nil {
		kinds++
		e.issuer, e.kind = c.OIDC.IssuerURL, TypeIDToken
		e.source, err = newOIDC(c, next)
	}
	if c.Kubernetes != nil {
		kinds++
		e.issuer, e.kind = c.Kubernetes.Issuer, TypeJWT
		e.source, err = newKubernetes(issuer, c.Kubernetes)
	}
	if kinds != 1 {
		return entry{}, errors.New("exactly one of htpasswd, webhook, oidc and kubernetes must be there")
	}
	return e, err
}

// Authenticate checks a name and a password. The first source that knows the name decides. It fails with [ErrDenied],
// [ErrBadName] or [ErrPasswordTooLong] (before any work), [ErrBusy], [ErrUnavailable], or ctx's error.
func (d *Directory) Authenticate(ctx context.Context, name string, password secret.Text) (User, error) {
	name, err := Canonical(name)
	if err != nil {
		return User{}, err
	}
	if len(password.Reveal()) > MaxPasswordBytes {
		return User{}, ErrPasswordTooLong
	}
	for _, e := range d.entries {
		user, err := e.authenticate(ctx, name, password)
		switch {
		case err == nil:
			return e.complete(user), nil
		case errors.Is(err, errUnknown):
			continue
		case errors.Is(err, ErrDenied):
			if _, hashed := e.source.(*htpasswd); !hashed {
				// The source has said no: that the work which hides its haste could not be done changes nothing of that.
				return User{}, errors.Join(d.pretend(ctx, password), ErrDenied)
			}
			return User{}, ErrDenied
		default:
			return User{}, e.describe(err)
		}
	}
	return User{}, d.pretend(ctx, password)
}

// pretend does the work of a wrong password, so that every refusal costs one hash where there are any. It returns
// ErrDenied unless it could not.
func (d *Directory) pretend(ctx context.Context, password secret.Text) error {
	var dummy hash
	most := 0
	for _, e := range d.entries {
		if h, ok := e.source.(*htpasswd); ok {
			// A list that cannot be read is the refusal of whoever gets that far.
			if list, _, err := h.load(); err == nil && list.howMany > most {
				most, dummy = list.howMany, list.dummy
			}
		}
	}
	if most > 0 {
		if _, err := d.hasher.matches(ctx, dummy, password); err != nil {
			return err
		}
	}
	return ErrDenied
}

// Lookup asks a source for a user whom it knew. known has what was kept of the user: Subject, Name and Source, and, if
// it was Remembered, Role and Claims. The answer has the role of today, where the source can be asked, and that of known
// where it cannot. It fails with [ErrGone], also when the source is not there any more or gives its users other
// subjects, with [ErrUnavailable], [ErrBusy] or ctx's error.
func (d *Directory) Lookup(ctx context.Context, known User) (User, error) {
	for _, e := range d.entries {
		if e.name != known.Source {
			continue
		}
		if e.prefix+known.Name != known.Subject {
			return User{}, ErrGone // whoever has that name now is somebody else
		}
		user, err := e.lookup(ctx, known)
		if err != nil {
			return User{}, e.describe(err)
		}
		return e.complete(user), nil
	}
	return User{}, ErrGone
}

// Exchange verifies a subject token (RFC 8693) of a type: [TypeIDToken] of an OpenID Connect provider, [TypeJWT] of a
// Kubernetes cluster. The token's issuer chooses the source, and only that one is asked. It fails with [ErrTokenType],
// with a [Denial], which is an [ErrDenied] with a reason, with [ErrUnavailable], or ctx's error. Nothing is kept of a
// token: the same one can be exchanged again while it is good.
func (d *Directory) Exchange(ctx context.Context, kind string, token secret.Text, now time.Time) (User, error) {
	if kind != TypeIDToken && kind != TypeJWT {
		return User{}, ErrTokenType
	}
	t, err := readToken(kind, token.Reveal())
	if err != nil {
		return User{}, err
	}
	for _, e := range d.entries {
		if e.issuer != t.issuer {
			continue // issuer is never empty in a token
		}
		if e.kind != kind {
			return User{}, deny(WrongTokenType)
		}
		user, err := e.exchange(ctx, t, now)
		if err != nil {
			return User{}, e.describe(err)
		}
		return e.complete(user), nil
	}
	return User{}, deny(UnknownIssuer)
}

// Exchanges tells whether any source takes tokens in exchange.
func (d *Directory) Exchanges() bool {
	for _, e := range d.entries {
		if e.issuer != "" {
			return true
		}
	}
	return false
}

func (e entry) complete(user User) User {
	user.Subject, user.Source = e.prefix+user.Name, e.name
	return user
}

// describe names the source in an error about it.
func (e entry) describe(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBusy) {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	return err
}
