package legacyapp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// document is a session as it lies in Redis.
type document struct {
	Cookie struct {
		OriginalMaxAge int64     `json:"originalMaxAge"` // milliseconds
		Expires        time.Time `json:"expires"`
		HTTPOnly       bool      `json:"httpOnly"`
		Secure         bool      `json:"secure"`
		Path           string    `json:"path"`
	} `json:"cookie"`
	Passport struct {
		User *passportUser `json:"user,omitempty"`
	} `json:"passport"`
}

type passportUser struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role,omitempty"`
}

// errNone: there is no such session.
var errNone = errors.New("no session")

func key(id string) string     { return strings.Replace(Key, "{id}", id, 1) }
func index(user string) string { return strings.Replace(UserIndex, "{user}", user, 1) }

// SignedCookie is the value of the cookie for an id.
func SignedCookie(id, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id))
	return url.QueryEscape("s:" + id + "." + base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
}

// idOf reads the value of a cookie.
func (a *Application) idOf(cookie string) (string, bool) {
	text, err := url.QueryUnescape(cookie)
	id, _, found := strings.Cut(strings.TrimPrefix(text, "s:"), ".")
	return id, err == nil && found && hmac.Equal([]byte(SignedCookie(id, a.options.Secret)), []byte(cookie))
}

// create makes a session and returns the cookie for it.
func (a *Application) create(ctx context.Context, user passportUser) (*http.Cookie, time.Time, error) {
	random := make([]byte, 24)
	_, _ = rand.Read(random) // never fails
	id := base64.RawURLEncoding.EncodeToString(random)
	expires, err := a.write(ctx, id, user)
	return a.cookie(id), expires, err
}

func (a *Application) cookie(id string) *http.Cookie {
	return &http.Cookie{
		Name: Cookie, Value: SignedCookie(id, a.options.Secret), Path: "/", MaxAge: int(a.options.Life / time.Second),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	}
}

// write writes a session with a whole life before it.
func (a *Application) write(ctx context.Context, id string, user passportUser) (time.Time, error) {
	var d document
	d.Cookie.OriginalMaxAge, d.Cookie.Expires = a.options.Life.Milliseconds(), time.Now().Add(a.options.Life).UTC()
	d.Cookie.HTTPOnly, d.Cookie.Secure, d.Cookie.Path = true, true, "/"
	d.Passport.User = &user
	raw, err := json.Marshal(d)
	if err != nil {
		return time.Time{}, err
	}
	pipe := a.store.TxPipeline()
	pipe.Set(ctx, key(id), raw, a.options.Life)
	pipe.SAdd(ctx, index(user.ID), id)
	pipe.Expire(ctx, index(user.ID), 2*a.options.Life)
	_, err = pipe.Exec(ctx)
	return d.Cookie.Expires, err
}

// find returns a session by its cookie.
func (a *Application) find(ctx context.Context, cookie string) (id string, d document, err error) {
	id, ok := a.idOf(cookie)
	if !ok {
		return "", d, errNone
	}
	raw, err := a.store.Get(ctx, key(id)).Bytes()
	if errors.Is(err, goredis.Nil) {
		return "", d, errNone
	}
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err == nil && d.Passport.User == nil {
		err = errNone
	}
	return id, d, err
}

// extend gives a session a whole life again. It does not bring back one that has ended.
func (a *Application) extend(ctx context.Context, cookie string) (*http.Cookie, time.Time, error) {
	id, _, err := a.find(ctx, cookie)
	if err != nil {
		return nil, time.Time{}, err
	}
	there, err := a.store.PExpire(ctx, key(id), a.options.Life).Result()
	if err == nil && !there {
		err = errNone
	}
	return a.cookie(id), time.Now().Add(a.options.Life), err
}

func (a *Application) end(ctx context.Context, cookie string) error {
	id, ok := a.idOf(cookie)
	if !ok {
		return nil
	}
	return a.store.Del(ctx, key(id)).Err()
}

func (a *Application) endAll(ctx context.Context, user string) error {
	ids, err := a.store.SMembers(ctx, index(user)).Result()
	if err != nil {
		return err
	}
	keys := []string{index(user)}
	for _, id := range ids {
		keys = append(keys, key(id))
	}
	return a.store.Del(ctx, keys...).Err()
}
