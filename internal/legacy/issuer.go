package legacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/strictjson"
	"github.com/keyturn/keyturn/internal/webhook"
)

// maxSetCookie bounds the line that sets the session's cookie.
const maxSetCookie = 8 << 10

// issuer has the application make and extend sessions.
type issuer struct {
	cookie   string
	endpoint *webhook.Endpoint
	log      *slog.Logger
	now      func() time.Time
	others   sync.Once // tells of other cookies
}

// question is what the issuer is asked: a new session for a user, or more time for one that there is.
type question struct {
	UserID  string            `json:"user_id"`
	Name    string            `json:"name,omitempty"`
	Role    string            `json:"role,omitempty"`
	Claims  map[string]string `json:"claims,omitempty"`
	Session string            `json:"session,omitempty"`
}

func openIssuer(o *opening, cookie string, c snapshot.LegacyWebhook) (*issuer, error) {
	key := struct {
		Cookie string
		snapshot.LegacyWebhook
	}{cookie, c}
	return keep(o, issuerDir, key, func() (*issuer, error) {
		endpoint, _, err := openEndpoint(o.Keeper, issuerDir, c)
		return &issuer{cookie: cookie, endpoint: endpoint, log: o.log, now: o.now}, err
	})
}

func (i *issuer) close() { i.endpoint.Close() }

func (i *issuer) issue(ctx context.Context, q question) (issued Issued, err error) {
	asked, err := json.Marshal(q)
	if err != nil {
		return Issued{}, errors.New("the question cannot be written")
	}
	err = i.endpoint.Ask(ctx, asked, func(a webhook.Answer) (err error) {
		switch {
		case a.Status == http.StatusOK || a.Status == http.StatusCreated || a.Status == http.StatusNoContent:
			if issued, err = i.read(a, q.Session != ""); err != nil {
				return unavailable("%w of the legacy issuer: %w", webhook.ErrOneUser, err)
			}
			return nil
		case (a.Status == http.StatusNotFound || a.Status == http.StatusGone) && a.Meant && q.Session != "":
			return fmt.Errorf("%w: the application says so", ErrInvalid)
		}
		return a.Unexpected(failures("the legacy issuer"))
	})
	return issued, err
}

// read takes the one cookie with the session, and when it ends: the body {"expires"} if there is one, or else what the
// cookie says.
func (i *issuer) read(a webhook.Answer, extended bool) (Issued, error) {
	var issued Issued
	for _, line := range a.Header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			return Issued{}, errors.New("a Set-Cookie line cannot be read") // the library's error quotes it
		}
		if c.Name != i.cookie {
			i.others.Do(func() { i.log.Warn("legacy_issuer_other_cookie", "name", fmt.Sprintf("%.80s", c.Name)) })
			continue
		}
		if err := i.check(c, line); err != nil {
			return Issued{}, fmt.Errorf("the cookie %s: %w", i.cookie, err)
		}
		c.Raw = line
		issued.Cookies = append(issued.Cookies, c)
	}
	if len(issued.Cookies) > 1 {
		return Issued{}, fmt.Errorf("it sets the cookie %s twice", i.cookie)
	}
	if len(issued.Cookies) == 0 && !extended {
		return Issued{}, fmt.Errorf("it sets no cookie %s", i.cookie)
	}
	expires, err := readIssuedBody(a)
	if err != nil {
		return Issued{}, err
	}
	for _, c := range issued.Cookies {
		switch {
		case !expires.IsZero():
		case c.MaxAge > 0:
			expires = i.now().Add(time.Duration(min(c.MaxAge, maxAge)) * time.Second)
		default:
			expires = c.Expires
		}
	}
	if !expires.IsZero() && !expires.After(i.now()) {
		return Issued{}, errors.New("the session has expired before it begins")
	}
	issued.Session.Expires = expires
	return issued, nil
}

// maxAge is a century, in seconds: nobody means more, and a duration holds it.
const maxAge = 100 * 365 * 24 * 3600

// check tells whether the browser may get this cookie from us. A cookie without Path would be for /auth/ only, because
// that is where it comes from.
func (i *issuer) check(c *http.Cookie, line string) error {
	switch {
	case len(line) > maxSetCookie || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("it has more than %d bytes, or others than printable ASCII", maxSetCookie)
	case c.Value == "" || !plausible(c.Value):
		return fmt.Errorf("its value must be 1 to %d printable characters", MaxCookieBytes)
	case c.MaxAge < 0 || !c.Expires.IsZero() && c.MaxAge == 0 && !c.Expires.After(i.now()):
		return errors.New("it is set to be removed")
	case !c.HttpOnly:
		return errors.New("it must be HttpOnly, or every script of the page has the session")
	case !c.Secure:
		return errors.New("it must be Secure, or it crosses the network in clear text")
	case !strings.HasPrefix(c.Path, "/"):
		return errors.New("it must have a Path, such as Path=/, or browsers send it to /auth/ only")
	}
	return nil
}

func readIssuedBody(a webhook.Answer) (time.Time, error) {
	if a.Empty {
		return time.Time{}, nil
	}
	if a.Wrong != nil {
		return time.Time{}, a.Wrong
	}
	o, err := strictjson.Read(a.Body)
	if err != nil {
		return time.Time{}, err
	}
	for name := range o {
		if name != "expires" {
			return time.Time{}, fmt.Errorf("member %.80q: only expires is known", name)
		}
	}
	return readExpires(o)
}

// isCookieName tells whether a legacy session can have this cookie. Names that begin as ours do would let the application
// set our tokens.
func isCookieName(name string) bool {
	lower := strings.ToLower(name)
	return name != "" && len(name) <= 128 && !strings.HasPrefix(lower, "__host-keyturn") && !strings.HasPrefix(lower, "__secure-keyturn") &&
		!strings.ContainsFunc(name, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
		})
}
