package legacy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

func express(address string) snapshot.LegacyRedis {
	return snapshot.LegacyRedis{URL: "redis://" + address + "/0", Key: legacyapp.Key, Cookie: Signed, User: legacyapp.UserPath, Role: legacyapp.RolePath, UserIndex: legacyapp.UserIndex}
}

func spring(address string) snapshot.LegacyRedis {
	return snapshot.LegacyRedis{URL: "redis://" + address, Key: "spring:session:sessions:{id}", Cookie: Base64, Format: HashFields,
		User: "sessionAttr:SPRING_SECURITY_CONTEXT#authentication.principal.username", Role: "sessionAttr:role",
		UserIndex: "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:{user}"}
}

func TestRedisSessions(t *testing.T) {
	server := realRedis(t)
	c := client(t, server)
	ctx := t.Context()
	w := newWorld(t)
	w.file(t, "validator/secret", "new\nkeyboard cat\n")
	set := func(key, value string, life time.Duration) { must(t, c.Set(ctx, key, value, life).Err()) }
	hset := func(key string, life time.Duration, pairs ...string) {
		must(t, c.HSet(ctx, key, pairs).Err())
		if life > 0 {
			must(t, c.PExpire(ctx, key, life).Err())
		}
	}
	const good = `{"cookie":{"path":"/"},"passport":{"user":{"id":"4711","role":"admin"}}}`
	set("sess:good", good, time.Hour)
	set("sess:forever", good, 0)
	set("sess:bare", `{"passport":{"user":{"id":4711}}}`, time.Hour)
	set("sess:anonymous", `{"cookie":{}}`, time.Hour)
	set("sess:broken", `{"passport":`, time.Hour)
	set("sess:big", good+strings.Repeat(" ", maxDocument), time.Hour)
	set("sess:hostile", `{"passport":{"user":{"id":"a\r\nX-Auth-Role: admin"}}}`, time.Hour)
	set("sess:role", `{"passport":{"user":{"id":"4711","role":"a b"}}}`, time.Hour)
	hset("sess:hash", time.Hour, "a", "b")
	now := w.clock.Now()
	ms := func(at time.Time) string { return fmt.Sprint(at.UnixMilli()) }
	spr := func(id string, life time.Duration, pairs ...string) {
		hset("spring:session:sessions:"+id, life, append(pairs, "sessionAttr:cart", strings.Repeat("x", maxDocument*2))...)
	}
	attr := "sessionAttr:SPRING_SECURITY_CONTEXT"
	spr("good", time.Hour, attr, springContext, "sessionAttr:role", `"admin"`, "lastAccessedTime", ms(now), "maxInactiveInterval", "1800")
	spr("kept", time.Hour, attr, springContext, "lastAccessedTime", ms(now.Add(-31*time.Minute)), "maxInactiveInterval", "1800")
	spr("forever", 0, attr, springContext, "lastAccessedTime", ms(now), "maxInactiveInterval", "-1")
	spr("timeless", time.Hour, attr, springContext)
	spr("anonymous", time.Hour, "lastAccessedTime", ms(now), "maxInactiveInterval", "1800")
	spr("java", time.Hour, attr, "\xac\xed\x00\x05sr\x00")
	spr("javatimes", time.Hour, attr, springContext, "lastAccessedTime", "\xac\xed\x00\x05sr", "maxInactiveInterval", "1800")
	spr("big", time.Hour, attr, springContext+strings.Repeat(" ", maxDocument))
	set("spring:session:sessions:expires:good", "", time.Hour)
	set("spring:session:sessions:text", "x", time.Hour)

	signed := func(id string) string { return legacyapp.SignedCookie(id, "keyboard cat") }
	b64 := func(id string) string { return base64.StdEncoding.EncodeToString([]byte(id)) }
	byExpress, bySpring := w.source(t, byRedis(express(server.Address()))), newSpring(t, w, server.Address())
	hour := now.Add(time.Hour)
	for _, test := range []struct {
		name   string
		source *Source
		cookie string
		want   Session
		err    error
	}{
		{"good", byExpress, signed("good"), Session{User: "shop:4711", Role: "admin", Expires: hour}, nil},
		{"signed by the new secret", byExpress, legacyapp.SignedCookie("good", "new"), Session{User: "shop:4711", Role: "admin", Expires: hour}, nil},
		{"forever", byExpress, signed("forever"), Session{User: "shop:4711", Role: "admin"}, nil},
		{"bare", byExpress, signed("bare"), Session{User: "shop:4711", Expires: hour}, nil},
		{"not there", byExpress, signed("gone"), Session{}, ErrInvalid},
		{"anonymous", byExpress, signed("anonymous"), Session{}, ErrInvalid},
		{"not signed", byExpress, "good", Session{}, ErrInvalid},
		{"signed by another", byExpress, legacyapp.SignedCookie("good", "guess"), Session{}, ErrInvalid},
		{"broken", byExpress, signed("broken"), Session{}, ErrUnavailable},
		{"big", byExpress, signed("big"), Session{}, ErrUnavailable},
		{"hostile", byExpress, signed("hostile"), Session{}, ErrUnavailable},
		{"role", byExpress, signed("role"), Session{}, ErrUnavailable},
		{"another type", byExpress, signed("hash"), Session{}, ErrUnavailable},
		{"good after all that", byExpress, signed("good"), Session{User: "shop:4711", Role: "admin", Expires: hour}, nil},

		{"Spring", bySpring, b64("good"), Session{User: "shop:alice", Role: "admin", Expires: now.Add(30 * time.Minute)}, nil},
		{"Spring keeps the key after the end", bySpring, b64("kept"), Session{}, ErrInvalid},
		{"Spring, forever", bySpring, b64("forever"), Session{User: "shop:alice"}, nil},
		{"Spring, no times", bySpring, b64("timeless"), Session{User: "shop:alice", Expires: hour}, nil},
		{"Spring, not there", bySpring, b64("gone"), Session{}, ErrInvalid},
		{"Spring, anonymous", bySpring, b64("anonymous"), Session{}, ErrInvalid},
		{"Spring, not in base64", bySpring, "good", Session{}, ErrInvalid},
		{"Spring, another kind of key", bySpring, b64("expires:good"), Session{}, ErrInvalid},
		{"Spring, Java", bySpring, b64("java"), Session{}, ErrUnavailable},
		{"Spring, times by Java", bySpring, b64("javatimes"), Session{}, ErrUnavailable},
		{"Spring, a big field", bySpring, b64("big"), Session{}, ErrUnavailable},
		{"Spring, another type", bySpring, b64("text"), Session{}, ErrUnavailable},
	} {
		got, err := test.source.Validate(ctx, text(test.cookie))
		t.Run(test.name, func(t *testing.T) { refusal(t, err, test.err, test.cookie, "sess:", "X-Auth") })
		if left := got.Expires.Sub(test.want.Expires); got.User != test.want.User || got.Role != test.want.Role || left.Abs() > 30*time.Second {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	if log := w.log.String(); strings.Contains(log, "good") || strings.Contains(log, "keyboard") || strings.Contains(log, "breaker") {
		t.Error(log)
	}
}

// newSpring has a keeper of its own: one keeper keeps what one source uses.
func newSpring(t *testing.T, w *world, address string) *Source {
	t.Helper()
	other := newWorld(t)
	other.clock = w.clock
	return other.source(t, byRedis(spring(address)))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to the store, nobody is told that the session is invalid; and when it is back, the session is.
func TestRedisOutages(t *testing.T) {
	server := realRedis(t, "requirepass s3cr3t", "appendonly yes", "appendfsync always")
	c := goredis.NewClient(&goredis.Options{Addr: server.Address(), Password: "s3cr3t"})
	defer c.Close() //nolint:errcheck // only a test's
	must(t, c.Set(t.Context(), "sess:a", `{"passport":{"user":{"id":"4711"}}}`, time.Hour).Err())
	w := newWorld(t)
	s := w.source(t, byRedis(express(server.Address())))
	cookie := text(legacyapp.SignedCookie("a", "keyboard cat"))
	validate := func(want error) error {
		t.Helper()
		w.clock.advance(time.Minute)
		_, err := s.Validate(t.Context(), cookie)
		refusal(t, err, want, "sess:a", "s3cr3t", "wr0ng", "keyboard", cookie.Reveal())
		return err
	}
	if err := validate(ErrUnavailable); !strings.Contains(err.Error(), "file secret") {
		t.Errorf("without the secret: %v", err)
	}
	w.file(t, "validator/secret", "keyboard cat")
	if err := validate(ErrUnavailable); !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: %v", err)
	}
	w.file(t, "validator/password", "wr0ng")
	validate(ErrUnavailable)
	w.file(t, "validator/password", "s3cr3t\n")
	if err := validate(nil); err != nil {
		t.Log(w.log)
	}
	must(t, c.Do(t.Context(), "ACL", "SETUSER", "default", "-getrange").Err())
	if err := validate(ErrUnavailable); !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("without the right: %v", err)
	}
	must(t, c.Do(t.Context(), "ACL", "SETUSER", "default", "+getrange").Err())
	validate(nil)
	server.Kill()
	validate(ErrUnavailable)
	must(t, server.Restart(t.Context()))
	back := time.Now().Add(30 * time.Second)
	for deadline := time.NewTicker(10 * time.Millisecond); ; <-deadline.C {
		w.clock.advance(time.Minute)
		_, err := s.Validate(t.Context(), cookie)
		if err == nil {
			deadline.Stop()
			break
		}
		if errors.Is(err, ErrInvalid) || time.Now().After(back) {
			t.Fatalf("after the restart: %v", err)
		}
	}
	must(t, server.Pause())
	begun := time.Now()
	validate(ErrUnavailable)
	if took := time.Since(begun); took > 3*webhook.DefaultTimeout {
		t.Errorf("took %s", took)
	}
	must(t, server.Resume())
}

func TestRedisConfiguration(t *testing.T) {
	good := snapshot.LegacyRedis{URL: "redis://localhost:1/0", Key: "sess:{id}", User: "user"}
	for name, change := range map[string]func(*snapshot.LegacyRedis){
		"no URL":                func(c *snapshot.LegacyRedis) { c.URL = "" },
		"another scheme":        func(c *snapshot.LegacyRedis) { c.URL = "http://localhost:1" },
		"credentials":           func(c *snapshot.LegacyRedis) { c.URL = "redis://u:canary@localhost:1" },
		"a query":               func(c *snapshot.LegacyRedis) { c.URL = "redis://localhost:1?db=1" },
		"a database":            func(c *snapshot.LegacyRedis) { c.URL = "redis://localhost:1/x" },
		"a negative database":   func(c *snapshot.LegacyRedis) { c.URL = "redis://localhost:1/-1" },
		"no host":               func(c *snapshot.LegacyRedis) { c.URL = "redis://:1" },
		"no URL at all":         func(c *snapshot.LegacyRedis) { c.URL = "redis://%zz" },
		"no key":                func(c *snapshot.LegacyRedis) { c.Key = "" },
		"a key without id":      func(c *snapshot.LegacyRedis) { c.Key = "sess:" },
		"a key of the id alone": func(c *snapshot.LegacyRedis) { c.Key = "{id}" },
		"two ids":               func(c *snapshot.LegacyRedis) { c.Key = "sess:{id}:{id}" },
		"another cookie":        func(c *snapshot.LegacyRedis) { c.Cookie = "signed" },
		"another format":        func(c *snapshot.LegacyRedis) { c.Format = "json" },
		"no user":               func(c *snapshot.LegacyRedis) { c.User = "" },
		"a bad user":            func(c *snapshot.LegacyRedis) { c.User = "a..b" },
		"a bad role":            func(c *snapshot.LegacyRedis) { c.Role = "." },
		"an index without user": func(c *snapshot.LegacyRedis) { c.UserIndex = "x" },
	} {
		c := good
		change(&c)
		w := newWorld(t)
		if _, err := New("sid", byRedis(c), w.Keeper); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.open) > 0 {
			t.Errorf("%s: something is kept", name)
		}
	}
	for _, url := range []string{"redis://localhost", "rediss://redis.example.com:6380/7", "redis://[::1]:1/"} {
		c := good
		c.URL = url
		newWorld(t).source(t, byRedis(c))
	}
	w := newWorld(t)
	c := good
	c.URL = "redis://redis.example.com:1"
	w.source(t, byRedis(c))
	if !strings.Contains(w.log.String(), "legacy_clear_text") {
		t.Error("clear text through the network is not told")
	}
}

func TestConfiguration(t *testing.T) {
	hook := func(url string) *snapshot.LegacyWebhook { return &snapshot.LegacyWebhook{URL: url} }
	redis := &snapshot.LegacyRedis{URL: "redis://localhost:1", Key: "s:{id}", User: "u"}
	good := byHTTP("http://app.shop.svc/introspect")
	slow := hook("https://x")
	slow.Timeout = snapshot.Duration(time.Minute)
	for name, config := range map[string]snapshot.Legacy{
		"no validator":          {},
		"two validators":        {Validator: snapshot.LegacyValidator{HTTP: hook("https://x"), Redis: redis}},
		"clear text":            byHTTP("http://app.example.com/introspect"),
		"credentials":           byHTTP("https://u:p@app.example.com/introspect"),
		"slow":                  {Validator: snapshot.LegacyValidator{HTTP: slow}},
		"clear text issuer":     {Validator: good.Validator, Issuer: hook("http://app.example.com")},
		"empty revoker":         {Validator: good.Validator, Revoker: &snapshot.LegacyRevoker{}},
		"two revokers":          {Validator: good.Validator, Revoker: &snapshot.LegacyRevoker{HTTP: hook("https://x"), Redis: redis}},
		"clear text revoker":    {Validator: good.Validator, Revoker: &snapshot.LegacyRevoker{HTTP: hook("ftp://x")}},
		"revoker without a key": {Validator: good.Validator, Revoker: &snapshot.LegacyRevoker{Redis: &snapshot.LegacyRedis{URL: "redis://x"}}},
	} {
		if _, err := New("sid", config, newWorld(t).Keeper); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, cookie := range []string{"", "a b", "a;b", "a=b", "__Host-keyturn-access", "__host-Keyturn-x", "__Secure-keyturn-refresh", "ä", strings.Repeat("a", 129)} {
		if _, err := New(cookie, good, newWorld(t).Keeper); err == nil {
			t.Errorf("cookie %q: accepted", cookie)
		}
	}
	w := newWorld(t)
	for _, cookie := range []string{"connect.sid", "JSESSIONID", "__Host-session", "_app-session"} {
		if _, err := New(cookie, good, w.Keeper); err != nil {
			t.Errorf("cookie %q: %v", cookie, err)
		}
	}
	if !strings.Contains(w.log.String(), "legacy_clear_text") {
		t.Error("clear text through the cluster is not told")
	}
}
