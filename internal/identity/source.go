package identity

import (
	"context"
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// errUnknown: the source does not know the name, or does not take the token; the next one is asked.
var errUnknown = errors.New("unknown to this source")

// source is one place that knows users. It fills Name, Role, Claims, Refreshable and Remembered of a user; the
// [Directory] adds the rest. What a source cannot do at all is errUnknown.
type source interface {
	// authenticate is [Directory.Authenticate] for a canonical name.
	authenticate(ctx context.Context, name string, password secret.Text) (User, error)
	// lookup is [Directory.Lookup].
	lookup(ctx context.Context, known User) (User, error)
	// exchange verifies a token whose issuer is this source's.
	exchange(ctx context.Context, t *subjectToken, now time.Time) (User, error)
}

// noPasswords is a source whose users have no passwords here.
type noPasswords struct{}

func (noPasswords) authenticate(context.Context, string, secret.Text) (User, error) {
	return User{}, errUnknown
}

// noTokens is a source that takes no tokens in exchange.
type noTokens struct{}

func (noTokens) exchange(context.Context, *subjectToken, time.Time) (User, error) {
	return User{}, errUnknown
}
