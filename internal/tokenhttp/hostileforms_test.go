package tokenhttp

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile is a request that no endpoint may take. An empty code means any of 4xx.
type hostile struct {
	name, body string
	headers    []string
	status     int
	code       string
}

// hostileForms are refused by every OAuth endpoint, whoever sends them.
func hostileForms() []hostile {
	form := func(media ...string) []string {
		h := []string{"Content-Type", "-"}
		for _, m := range media {
			h = append(h, "Content-Type", m)
		}
		return h
	}
	const grant = "grant_type=refresh_token&refresh_token=canary-4711&token=canary-4711"
	invalid, media := CodeInvalidRequest, CodeUnsupportedMedia
	var many strings.Builder
	for i := range maxParameters {
		fmt.Fprintf(&many, "&a%d=x", i)
	}
	return []hostile{
		{"json", object("token", "canary-4711"), form("application/json"), 415, media},
		{"no media type", grant, form(), 415, media},
		{"two media types", grant, form("application/x-www-form-urlencoded", "application/json"), 415, media},
		{"multipart", grant, form("multipart/form-data; boundary=x"), 415, media},
		{"text", grant, form("text/plain"), 415, media},
		{"garbled media type", grant, form("application/x-www-form-urlencoded; ;"), 415, media},
		{"another charset", grant, form("application/x-www-form-urlencoded; charset=utf-16"), 415, media},
		{"another parameter", grant, form("application/x-www-form-urlencoded; q=1"), 415, media},
		{"compressed", grant, []string{"Content-Encoding", "gzip"}, 415, media},
		{"too large", "token=" + strings.Repeat("x", MaxBody), nil, 413, CodeTooLarge},
		{"too large by ampersands", grant + strings.Repeat("&", MaxBody), nil, 413, CodeTooLarge},
		{"too many parameters", grant + many.String(), nil, 400, invalid},
		{"twice", grant + "&token=x", nil, 400, invalid},
		{"twice, once encoded", grant + "&t%6Fken=x", nil, 400, invalid},
		{"twice, once empty", grant + "&token=", nil, 400, invalid},
		{"an unknown one twice", grant + "&x=1&x=2", nil, 400, invalid},
		{"grant twice", "grant_type=refresh_token&" + grant, nil, 400, invalid},
		{"client twice", grant + "&client_id=orders&client_id=other", nil, 400, invalid},
		{"bad escape in a value", grant + "&x=%zz", nil, 400, invalid},
		{"bad escape in a name", grant + "&%4=x", nil, 400, invalid},
		{"a lone percent sign", grant + "&x=%", nil, 400, invalid},
		{"semicolon", grant + ";admin=true", nil, 400, invalid},
		{"not UTF-8", grant + "&x=%ff%fe", nil, 400, invalid},
		{"raw bytes", grant + "&\xff\xfe=1", nil, 400, invalid},
		{"half a surrogate", grant + "&x=%ed%a0%80", nil, 400, invalid},
		{"overlong slash", grant + "&x=%c0%af", nil, 400, invalid},
		{"a secret without a client", "token=x&client_secret=canary-4711", nil, 400, invalid},
		{"both ways", "token=x&client_id=orders&client_secret=canary-4711", basic("orders", "canary-4711"), 400, invalid},
		{"two clients", "token=x&client_id=other", basic("orders", "canary-4711"), 400, invalid},
		{"wrong secret", grant, basic("orders", "canary-4711"), 401, CodeInvalidClient},
		{"a client's id with a path", grant, basic("../orders", "canary-4711"), 401, CodeInvalidClient},
		{"a client's id with a NUL", grant, basic("orders\x00", "canary-4711"), 401, CodeInvalidClient},
		{"a huge secret", grant, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("orders:"+strings.Repeat("x", 8000)))}, 401, CodeInvalidClient},
		{"a huge client", grant + "&client_id=" + strings.Repeat("x", 8000), nil, 401, CodeInvalidClient},
		{"a client in the body", "token=x&client_id=orders&client_secret=canary-4711", nil, 401, CodeInvalidClient},
		{"bearer", grant, []string{"Authorization", "Bearer canary-4711"}, 401, CodeInvalidClient},
		{"digest", grant, []string{"Authorization", `Digest username="orders"`}, 401, CodeInvalidClient},
		{"negotiate", grant, []string{"Authorization", "Negotiate canary-4711"}, 401, CodeInvalidClient},
		{"a scheme alone", grant, []string{"Authorization", "Basic"}, 401, CodeInvalidClient},
		{"an empty header", grant, []string{"Authorization", ""}, 401, CodeInvalidClient},
		{"nothing after the scheme", grant, []string{"Authorization", "Basic "}, 401, CodeInvalidClient},
		{"base64 with spaces", grant, []string{"Authorization", "Basic b3JkZXJz OmE="}, 401, CodeInvalidClient},
		{"base64url", grant, []string{"Authorization", "Basic b3JkZXJzOj8_Pw=="}, 401, CodeInvalidClient},
		{"base64 without padding", grant, []string{"Authorization", "Basic b3JkZXJzOmE"}, 401, CodeInvalidClient},
		{"credentials not UTF-8", grant, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("orders:\xff"))}, 401, CodeInvalidClient},
		{"two headers", grant, append(basic("orders", ordersSecret), basic("other", otherSecret)...), 401, CodeInvalidClient},
		{"two in one header", grant, []string{"Authorization", basic("orders", ordersSecret)[1] + ", " + basic("orders", ordersSecret)[1]}, 401, CodeInvalidClient},
		{"empty", "", []string{"Content-Type", "application/x-www-form-urlencoded"}, 0, ""},
		{"ampersands", "&&&&", nil, 0, ""},
		{"everything in the query", "", []string{"Content-Type", "application/x-www-form-urlencoded"}, 0, ""},
		{"names without values", "grant_type&token&refresh_token", nil, 0, ""},
		{"names in another case", "Grant_Type=refresh_token&Token=x", nil, 0, ""},
		{"json in a form", `{"grant_type":"refresh_token"}`, nil, 0, ""},
		{"brackets, which PHP takes for arrays", "token[]=x&grant_type[]=refresh_token", nil, 0, ""},
		{"a grant with spaces", "grant_type=%20refresh_token&token=", nil, 0, ""},
		{"a grant with a line end", "grant_type=refresh_token%0d%0aX-Role:%20admin&token=", nil, 0, ""},
	}
}

func TestHostileForms(t *testing.T) {
	r := newOAuthRig(t)
	doc := r.issuer
	doc.LoginLimit.Limit = 10_000
	r.use(doc)
	live := r.login("alice", canary)
	rows := 0
	for _, path := range []string{"/auth/token", "/auth/revoke", "/auth/introspect"} {
		for _, row := range hostileForms() {
			rows++
			target := path
			if row.name == "everything in the query" {
				target += "?token=" + url.QueryEscape(live.text("refresh_token")) + "&grant_type=refresh_token&client_id=orders&client_secret=" + url.QueryEscape(ordersSecret)
			}
			a := r.form(target, row.body, row.headers...)
			if a.status < 400 || a.status > 499 || a.text("code") == "" || a.text("error") == "" || row.code != "" && (a.status != row.status || a.text("code") != row.code) {
				t.Errorf("%s %s: %d %s, want %d %s", path, row.name, a.status, a.raw, row.status, row.code)
			}
			if a.text("code") != "" {
				r.refused(a, a.status, a.text("code"), a.text("error"))
			}
			for _, leak := range []string{"canary", "ktr_", "eyJ", "admin"} {
				if strings.Contains(a.raw, leak) || strings.Contains(strings.Join(a.header.Values("Www-Authenticate"), ""), leak) {
					t.Errorf("%s %s quotes the request: %s", path, row.name, a.raw)
				}
			}
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HACK"} {
			rows++
			if a := r.do(method, path, ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
		}
		for _, wrong := range []string{path + "/", "/" + path, strings.ToUpper(path), strings.Replace(path, "auth/", "auth/./", 1), strings.Replace(path, "auth", "%61uth", 1), path + "%00", path + ";x", path + "/..", strings.Replace(path, "/auth/", "/auth%2f", 1)} {
			rows++
			if a := r.form(wrong, "token=x"); a.status != http.StatusNotFound && a.status != http.StatusBadRequest && wrong != strings.Replace(path, "auth", "%61uth", 1) {
				t.Errorf("%s: %d %s", wrong, a.status, a.raw)
			}
		}
	}
	if rows < 200 {
		t.Errorf("%d rows", rows)
	}
	if n, _ := r.store.Last(t.Context()); n != r.born {
		t.Error("hostile input revoked something")
	}
	for _, leak := range []string{"canary", "ktr_", "panic", `"level":"ERROR"`} {
		if strings.Contains(r.log.String(), leak) {
			t.Errorf("the log has %q:\n%s", leak, r.log)
		}
	}
	r.want(r.refresh(live.text("refresh_token")), http.StatusOK, "")
}

func FuzzDecodeForm(f *testing.F) {
	for _, row := range hostileForms() {
		if len(row.body) < 1000 {
			f.Add(row.body)
		}
	}
	f.Add("grant_type=" + url.QueryEscape(grantTokenExchange) + "&audience=a&audience=b")
	f.Fuzz(func(t *testing.T, raw string) {
		got, p := decodeForm(raw, "audience")
		if p != nil {
			if p.Status != http.StatusBadRequest || got != nil || strings.ContainsAny(p.oauth().Description, "\"\\\n") {
				t.Errorf("%q: %+v", raw, p)
			}
			return
		}
		// What is taken means the same to the standard library.
		want, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		for name, values := range want {
			full := 0
			for _, value := range values {
				if value == "" {
					continue
				}
				if full >= len(got[name]) || got[name][full].Reveal() != value || !utf8.ValidString(value) {
					t.Errorf("%q: %q", raw, name)
				}
				full++
			}
			if full != len(got[name]) || len(values) > 1 && name != "audience" {
				t.Errorf("%q: %q is there %d times", raw, name, len(values))
			}
		}
		if len(got) > len(want) {
			t.Errorf("%q: %d parameters, %d of them", raw, len(got), len(want))
		}
	})
}

func FuzzBasicCredentials(f *testing.F) {
	for _, row := range hostileForms() {
		for i := 0; i+1 < len(row.headers); i += 2 {
			if row.headers[i] == "Authorization" {
				f.Add(row.headers[i+1])
			}
		}
	}
	f.Add(basic("orders", ordersSecret)[1])
	f.Fuzz(func(t *testing.T, header string) {
		c, p := basicCredentials(http.Header{"Authorization": {header}})
		if (c == nil) == (p == nil) {
			t.Fatalf("%q: %v, %v", header, c, p)
		}
		if p != nil {
			if p.Status != http.StatusUnauthorized || p.Code != CodeInvalidClient || p.challenge != basicChallenge {
				t.Errorf("%q: %+v", header, p)
			}
			return
		}
		if !utf8.ValidString(c.secrets[0].Reveal()) || len(c.secrets) > 2 {
			t.Errorf("%q: %+v", header, c)
		}
		// The standard library reads the same.
		id, proof, ok := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
		if decoded, err := url.QueryUnescape(id); err == nil {
			id = decoded
		}
		if !ok || id != c.id || proof != c.secrets[0].Reveal() {
			t.Errorf("%q: %q, %t", header, id, ok)
		}
	})
}
