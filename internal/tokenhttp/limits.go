package tokenhttp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/keyturn/keyturn/internal/identity"
)

// An account is acquainted with a place for acquaintedFor after a login there. It is noted again once a day at most.
const (
	acquaintedFor = 90 * 24 * time.Hour
	renewAfter    = 24 * time.Hour
)

// afterwards bounds what is done for a client that may have gone.
const afterwards = 2 * time.Second

// limitLogin counts the attempt for the address and sets the headers of draft-ietf-httpapi-ratelimit-headers. The
// account's budget is in no header but its own refusal's: it would tell what others did to the account, and whether it
// has logged in from here.
func (s *Service) limitLogin(w http.ResponseWriter, r *http.Request, doc *Document, client netip.Addr, now time.Time) (string, *Problem) {
	limit, window := doc.LoginLimit.Limit, doc.LoginLimit.Window.Std()
	counted, err := s.Limiter.Take(r.Context(), limitKey(client), limit, window, now)
	if err != nil {
		return "unavailable", s.storeFailed("count", err)
	}
	rules := fmt.Sprintf(`"login";q=%d;w=%d`, limit, seconds(window))
	if doc.FailureLimit.Limit > 0 {
		rules += fmt.Sprintf(`, "account";q=%d;w=%d`, doc.FailureLimit.Limit, seconds(doc.FailureLimit.Window.Std()))
	}
	w.Header().Set("RateLimit-Policy", rules)
	remaining := fmt.Sprintf(`"login";r=%d`, counted.Remaining)
	if counted.Reset > 0 {
		remaining += fmt.Sprintf(";t=%d", seconds(counted.Reset))
	}
	w.Header().Set("RateLimit", remaining)
	if !counted.Allowed {
		return "rate_limited", &Problem{Status: http.StatusTooManyRequests, Code: CodeRateLimited, Title: "Too many logins from this address",
			retryAfter: max(counted.Reset, time.Second)}
	}
	return "", nil
}

// attempt is one login against the limit of its account. The zero value is one that nothing limits.
type attempt struct {
	// account is what failures are counted by, name what has been at home at a place.
	account, name, place string
	// counted: it was counted as a failure in advance, so that many at once cannot exceed the limit.
	counted bool
}

// accountKey is what stands for an account in the limiter, whether it exists or not; in the log, [auditKey] makes another
// thing of it. Case and marks are
// dropped, because a source of identities may take two such names for one user: there would be a limit for each spelling.
func accountKey(canonical string) string {
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(canonical))
	return nameKey(cases.Fold().String(plain))
}

// nameKey is what stands for exactly one name. The user of a name is at home where that name has logged in, and nobody
// else is: another source has another user for a name in another case.
func nameKey(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// limitAccount counts a failure in advance, unless the account has logged in from this place before.
func (s *Service) limitAccount(w http.ResponseWriter, r *http.Request, doc *Document, name string, client netip.Addr, now time.Time) (attempt, string, *Problem) {
	limit, window := doc.FailureLimit.Limit, doc.FailureLimit.Window.Std()
	if limit <= 0 {
		return attempt{}, "", nil
	}
	canonical, err := identity.Canonical(name)
	if err != nil {
		return attempt{}, "invalid", badRequest(err.Error())
	}
	a := attempt{account: accountKey(canonical), name: nameKey(canonical), place: limitKey(client)}
	known, err := s.Acquaintances.Acquainted(r.Context(), a.name, a.place, now)
	if err != nil {
		return attempt{}, "unavailable", s.storeFailed("acquainted", err)
	}
	if known {
		return a, "", nil
	}
	counted, err := s.Limiter.Take(r.Context(), a.key(), limit, window, now)
	if err != nil {
		return attempt{}, "unavailable", s.storeFailed("count", err)
	}
	if !counted.Allowed {
		w.Header().Set("RateLimit", w.Header().Get("RateLimit")+fmt.Sprintf(`, "account";r=0;t=%d`, seconds(counted.Reset)))
		return attempt{}, "account_limited", &Problem{Status: http.StatusTooManyRequests, Code: CodeAccountLimited, Title: "Too many failed logins with this name",
			Detail: "also where no such user exists; addresses from which the user has logged in before are not held up", retryAfter: max(counted.Reset, time.Second)}
	}
	a.counted = true
	return a, "", nil
}

func (a attempt) key() string { return "failures " + a.account }

// settle takes the count back, unless the name or the password was wrong.
func (s *Service) settle(ctx context.Context, a attempt, outcome error) {
	if !a.counted || errors.Is(outcome, identity.ErrDenied) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	if err := s.Limiter.Refund(ctx, a.key()); err != nil {
		_ = s.storeFailed("refund", err) // the account has one failure too many for a while; the login goes on
	}
}

// acquaint notes where the account has logged in. A login that was stored does not fail because this was not.
func (s *Service) acquaint(ctx context.Context, a attempt, now time.Time) {
	if a.name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	fresh, err := s.Acquaintances.Acquainted(ctx, a.name, a.place, now.Add(acquaintedFor-renewAfter))
	if err == nil && !fresh {
		err = s.Acquaintances.Acquaint(ctx, a.name, a.place, now, now.Add(acquaintedFor))
	}
	if err != nil {
		_ = s.storeFailed("acquaint", err)
	}
}
