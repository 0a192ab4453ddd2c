package extauthz

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/probe"
)

const feedSecret = "a secret of the revocation feed"

// newProbeWorld is a [newPolicyWorld] whose edge has the secret of the feed.
func newProbeWorld(t *testing.T) (*world, Listeners, probe.Key) {
	t.Helper()
	w := newPolicyWorld(t)
	w.probes.dir = t.TempDir()
	check(t, os.WriteFile(filepath.Join(w.probes.dir, "token"), []byte(feedSecret+"\n"), 0o600))
	key, err := probe.NewKey([]byte(feedSecret))
	check(t, err)
	on, _ := w.serve(t, Drain{})
	return w, on, key
}

// challenges asks in every dialect and by gRPC.
func challenges(t *testing.T, on Listeners, o original) map[string]http.Header {
	t.Helper()
	all := map[string]http.Header{}
	for _, dialect := range allDialects {
		line, headers := o.told(dialect)
		r, _ := ask(t, on.HTTP.Addr().String(), line, headers)
		r.Header.Set("Status", verdictOf(r.StatusCode, r.Header))
		all[dialect] = r.Header
	}
	for name, raw := range map[string]bool{"gRPC": false, "gRPC, raw": true} {
		e := newEnvoy(t, on.GRPC.Addr().String())
		e.raw, e.extensions = raw, map[string]string{PolicyExtension: o.policy}
		got := e.send(t, clientRequest{method: o.method, path: o.target, host: "app.example.test", headers: o.headers})
		h := http.Header{}
		for name, value := range got.headers {
			h.Set(name, value)
		}
		h.Set("Status", verdictOf(got.status, h))
		all[name] = h
	}
	return all
}

// TestProbes: whatever the policy, a probe is refused, and the answer says what else would be.
func TestProbes(t *testing.T) {
	w, on, key := newProbeWorld(t)
	for _, row := range []struct {
		policy, target string
		more           []header
		want           probe.Stance
	}{
		{"shop/jwt", "/", nil, probe.Refuses},
		{"shop/admin", "/", nil, probe.Refuses},
		{"shop/session", "/", nil, probe.Refuses},
		{"shop/session", "/", []header{{"Cookie", "connect.sid=good"}}, probe.Open}, // said of the request with the session
		{"shop/sources", "/", nil, probe.Refuses},
		{"shop/pages", "/", []header{{"Sec-Fetch-Mode", "navigate"}}, probe.Refuses},
		{"shop/rules", "/api", nil, probe.Refuses},
		{"shop/rules", "/health", nil, probe.Anonymous},
		{"shop/both", "/open/x", nil, probe.Anonymous},
		{"shop/audit", "/", nil, probe.Audits},
		{"shop/audit", "/x", nil, probe.Audits},
	} {
		nonce := probe.Nonce([16]byte{byte(len(row.policy)), byte(len(row.target))})
		raw := key.Mint(row.policy, nonce, time.Now()).Reveal()
		for dialect, h := range challenges(t, on, original{row.policy, "GET", row.target, append([]header{bearer(raw)}, row.more...)}) {
			got, proven := key.Proven(h["Www-Authenticate"], nonce, row.policy)
			if h.Get("Status") != "401 invalid_token" || !proven || got != row.want || h.Get(HeaderDecision) == "" {
				t.Errorf("%s, %s %s: %s, %s (%t), want %s; %v", dialect, row.policy, row.target, h.Get("Status"), got, proven, row.want, h)
			}
			if challenge := h.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, `Bearer realm="`+issuer+`", keyturn-probe="`) {
				t.Errorf("%s: %s", dialect, challenge)
			}
		}
	}
	for _, line := range w.log.lines(t, "denied") {
		if line["reason"] != "probe" {
			t.Errorf("%v", line)
		}
	}
	if strings.Contains(w.log.String(), "keyturn-probe.") || len(w.log.lines(t, "would_deny")) > 0 {
		t.Error("a probe's token is logged, or an audit let it through")
	}
	if counts := w.Status().Rollout; counts == nil || counts.Cohort.Events+counts.Control.Events+counts.Sessions+counts.Tokens > 0 {
		t.Errorf("probes are counted for the rollout: %+v", counts)
	}
}

// otherEnd is s with another letter before its last, whose bits all count.
func otherEnd(s string) string {
	at := len(s) - 2
	if s[at] == 'A' {
		return s[:at] + "B" + s[at+1:]
	}
	return s[:at] + "A" + s[at+1:]
}

// TestNoProbes: what only looks like a probe is a token like any other, also where a policy lets everything through.
func TestNoProbes(t *testing.T) {
	_, on, key := newProbeWorld(t)
	other, err := probe.NewKey([]byte("the secret of another TokenService"))
	check(t, err)
	nonce, now := probe.Nonce([16]byte{1}), time.Now()
	good := key.Mint("shop/jwt", nonce, now).Reveal()
	for name, raw := range map[string]string{
		"another key":     other.Mint("shop/jwt", nonce, now).Reveal(),
		"another policy":  key.Mint("shop/admin", nonce, now).Reveal(),
		"expired":         key.Mint("shop/jwt", nonce, now.Add(-probe.Lifetime-time.Second)).Reveal(),
		"from the future": key.Mint("shop/jwt", nonce, now.Add(time.Hour)).Reveal(),
		"a changed MAC":   otherEnd(good),
		"cut":             good[:len(good)-1],
		"longer":          good + "A",
		"no MAC":          "keyturn-probe." + nonce + ".99999999999.",
		"nothing":         "keyturn-probe.",
	} {
		for dialect, h := range challenges(t, on, original{"shop/jwt", "GET", "/", []header{bearer(raw)}}) {
			if h.Get("Status") != "401 invalid_token" || strings.Contains(h.Get("WWW-Authenticate"), "keyturn-probe") {
				t.Errorf("%s, %s: %v", dialect, name, h)
			}
		}
	}
	forged := bearer(other.Mint("shop/audit", nonce, now).Reveal())
	for dialect, got := range verdicts(t, on, original{"shop/audit", "GET", "/", []header{forged}}) {
		if got != "200" {
			t.Errorf("%s: a forged probe in an audit: %s", dialect, got)
		}
	}
	for name, headers := range map[string][]header{
		"two headers": {bearer(good), bearer(good)}, "another scheme": {{"Authorization", "Basic " + good}},
		"a cookie": {{"Cookie", accessCookie + good}}, "spoofed": {bearer(good), {"X-Auth-User", "ann"}},
	} {
		line, all := original{"shop/jwt", "GET", "/", headers}.told("caddy")
		if r, _ := ask(t, on.HTTP.Addr().String(), line, all); r.StatusCode == 200 || strings.Contains(r.Header.Get("WWW-Authenticate"), "keyturn-probe") {
			t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
		}
	}
}

// TestProbeSecret: the secret is read again when it changes; without one there are no probes.
func TestProbeSecret(t *testing.T) {
	w := newPolicyWorld(t)
	now := time.Now()
	nonce := probe.Nonce([16]byte{7})
	known := func(secret string, after time.Duration) bool {
		key, err := probe.NewKey([]byte(secret))
		check(t, err)
		_, ok := w.probes.current(now.Add(after)).Read(key.Mint("a/b", nonce, now).Reveal(), "a/b", now)
		return ok
	}
	if known(feedSecret, 0) {
		t.Error("a probe without a secret")
	}
	w.probes.dir = t.TempDir()
	file := filepath.Join(w.probes.dir, "token")
	if known(feedSecret, 0) {
		t.Error("a probe without a file")
	}
	check(t, os.WriteFile(file, []byte(feedSecret), 0o600))
	if known(feedSecret, secretEvery/2) {
		t.Error("the file was read again too soon: who sends what looks like a probe decides how often")
	}
	if !known(feedSecret, secretEvery) {
		t.Error("the file was not read")
	}
	check(t, os.WriteFile(file, []byte(feedSecret+" anew"), 0o600))
	if !known(feedSecret+" anew", 2*secretEvery) || known(feedSecret, 2*secretEvery) {
		t.Error("the new secret is not the one in force")
	}
	if _, is := w.probed(nil, nil, question{}, policy.Input{}, policy.Decision{}, now); is {
		t.Error("a probe without a policy")
	}
}
