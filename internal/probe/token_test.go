package probe

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	nonce = Nonce([16]byte{1, 2, 3})
)

func newKey(t testing.TB, secret string) Key {
	t.Helper()
	k, err := NewKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTokens(t *testing.T) {
	k := newKey(t, "  the secret of the feed\n")
	raw := k.Mint("demo/web", nonce, noon).Reveal()
	if got, ok := newKey(t, "the secret of the feed").Read(raw, "demo/web", noon); !ok || got != nonce {
		t.Fatalf("%q %t", got, ok)
	}
	if !LooksLike(raw) || LooksLike("eyJhbGciOiJFUzI1NiJ9.e30.c2ln") || len(raw) > maxToken {
		t.Errorf("%d characters", len(raw))
	}
	for _, row := range []struct {
		at   time.Duration
		want bool
	}{
		{-drift, true}, {-drift - time.Second, false}, {Lifetime - time.Second, true}, {Lifetime, false}, {time.Hour, false},
	} {
		if _, ok := k.Read(raw, "demo/web", noon.Add(row.at)); ok != row.want {
			t.Errorf("at %s: %t", row.at, ok)
		}
	}
	for i := range raw {
		for _, c := range []string{"", "A", "b", ".", "9", "\n"} {
			if changed := raw[:i] + c + raw[i+1:]; changed != raw {
				if _, ok := k.Read(changed, "demo/web", noon); ok {
					t.Errorf("recognised: %q", changed)
				}
			}
		}
	}
	for name, ok := range map[string]bool{"another policy": read(k, raw, "demo/we"), "another key": read(newKey(t, "the secret of a feed"), raw, "demo/web"), "no key": read(Key{}, raw, "demo/web"), "longer": read(k, raw+strings.Repeat("A", 100), "demo/web")} {
		if ok {
			t.Errorf("recognised: %s", name)
		}
	}
	if _, err := NewKey([]byte("   too short    \n\n")); err == nil {
		t.Error("a key of a short secret")
	}
}

func read(k Key, raw, policy string) bool {
	_, ok := k.Read(raw, policy, noon)
	return ok
}

func TestAnswers(t *testing.T) {
	k := newKey(t, "the secret of the feed")
	good := `Bearer realm="https://id", ` + k.Answer(nonce, "demo/web", Refuses) + `, error="invalid_token"`
	if stance, ok := k.Proven([]string{"Basic", good}, nonce, "demo/web"); !ok || stance != Refuses {
		t.Fatalf("%s %t: %s", stance, ok, good)
	}
	for name, row := range map[string]struct {
		challenge, nonce, policy string
		key                      Key
	}{
		"another nonce":   {good, Nonce([16]byte{}), "demo/web", k},
		"another policy":  {good, nonce, "demo/shop", k},
		"another key":     {good, nonce, "demo/web", newKey(t, "the secret of a feed")},
		"no key":          {good, nonce, "demo/web", Key{}},
		"a changed word":  {strings.Replace(good, "refuses", "audits", 1), nonce, "demo/web", k},
		"no proof":        {`Bearer keyturn-probe="` + nonce + ` demo/web refuses "`, nonce, "demo/web", k},
		"the token's MAC": {`Bearer keyturn-probe="` + nonce + ` demo/web refuses ` + k.mac(forToken, "demo/web", nonce, "refuses") + `"`, nonce, "demo/web", k},
		"not closed":      {strings.Split(good, `", error`)[0], nonce, "demo/web", k},
		"none":            {"Bearer", nonce, "demo/web", k},
	} {
		if stance, ok := row.key.Proven([]string{row.challenge}, row.nonce, row.policy); ok {
			t.Errorf("%s: %s", name, stance)
		}
	}
}

func FuzzToken(f *testing.F) {
	k := newKey(f, "the secret of the feed")
	good := k.Mint("demo/web", nonce, noon).Reveal()
	for _, s := range []string{good, good[:20], prefix, prefix + "..", prefix + nonce + ".1772366460.", "", strings.Replace(good, ".", "..", 1), good + ".", prefix + nonce + ".+1772366460." + good[len(good)-macSize:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if got, ok := k.Read(raw, "demo/web", noon); ok && (raw != good || got != nonce) {
			t.Fatalf("recognised: %q", raw)
		}
		if _, ok := k.Proven([]string{raw}, nonce, "demo/web"); ok {
			t.Fatalf("proven by %q", raw)
		}
	})
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://app.example.com": true, "http://app.example.com:8080/a/b%20c": true, "https://[fd00::1]:8443/": true, "https://10.0.0.1/x": true,
		"": false, "app.example.com": false, "/x": false, "ftp://app.example.com/": false, "https://": false, "https:app": false, "https:///x": false,
		"https://u:p@app.example.com/": false, "https://u@app.example.com/": false, "https://app.example.com/?a": false, "https://app.example.com/?": false,
		"https://app.example.com/#a": false, "https://app.example.com/#": false, "https://app.example.com:0/": false, "https://app.example.com:65536/": false,
		"https://app.example.com:x/": false, "https://app.example.com/a b": false, "https://app.example.com/\r\nX: y": false, "https://app.example.com/é": false,
		"https://app.example.com\\@evil/": false, "file:///etc/passwd": false, "https://app.example.com/" + strings.Repeat("a", MaxURL): false,
	} {
		if _, err := ParseURL(raw); (err == nil) != want {
			t.Errorf("%.60q: %v", raw, err)
		}
	}
}

func TestReach(t *testing.T) {
	never := []netip.AddrPort{netip.MustParseAddrPort("10.96.0.1:0"), netip.MustParseAddrPort("203.0.113.7:6443")}
	public, private, test := Reach{Never: never}, Reach{Private: true, Never: never}, Reach{Private: true, Loopback: true, Never: never}
	for at, want := range map[string][3]bool{
		"198.51.100.1:443": {true, true, true}, "[2001:db8::1]:443": {true, true, true}, "203.0.113.7:443": {true, true, true},
		"203.0.113.7:6443": {}, "[::ffff:203.0.113.7]:6443": {}, "10.96.0.1:443": {}, "10.96.0.1:80": {},
		"10.96.0.2:443": {false, true, true}, "192.168.1.1:80": {false, true, true}, "172.31.0.1:80": {false, true, true}, "100.64.0.1:80": {false, true, true},
		"[fd00::1]:80": {false, true, true}, "[::ffff:10.0.0.1]:80": {false, true, true},
		"127.0.0.1:80": {false, false, true}, "127.8.8.8:80": {false, false, true}, "[::1]:80": {false, false, true}, "[::ffff:127.0.0.1]:80": {false, false, true},
		"169.254.169.254:80": {}, "169.254.1.1:80": {}, "[::ffff:169.254.169.254]:80": {}, "[fe80::1]:80": {}, "[fe80::1%eth0]:80": {}, "[fd00:ec2::254]:80": {}, "[fd20:ce::254]:80": {},
		"100.100.100.200:80": {}, "168.63.129.16:80": {}, "192.0.0.192:80": {}, "0.0.0.0:80": {}, "0.1.2.3:80": {}, "[::]:80": {}, "224.0.0.1:80": {}, "[ff02::1]:80": {},
		"255.255.255.255:80": {}, "[64:ff9b::a9fe:a9fe]:80": {}, "[2002:a9fe:a9fe::1]:80": {},
	} {
		to := netip.MustParseAddrPort(at)
		if got := [3]bool{public.Allows(to), private.Allows(to), test.Allows(to)}; got != want {
			t.Errorf("%s: %v, want %v", at, got, want)
		}
	}
	if (Reach{}).Allows(netip.AddrPort{}) || (Reach{}).control("tcp", "app:80", nil) == nil {
		t.Error("no address at all")
	}
}
