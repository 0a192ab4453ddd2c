package snapshot_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestDependencies(t *testing.T) {
	deptest.NoKubernetes(t)
	deptest.Forbid(t, "github.com/lestrrat-go/", "net/http")
}

func issuerDocument() snapshot.Issuer {
	return snapshot.Issuer{
		Header: snapshot.Header{Format: snapshot.IssuerFormat, Revision: 41, TokenService: "shop/web", Issuer: "https://shop.example.com"},
		Keys: snapshot.KeySet{
			Name: "shop/main", Epoch: 17, Active: "k1", ClockSkew: snapshot.Duration(time.Minute),
			Keys: []snapshot.Key{{KID: "k1", Algorithm: "ES256", JWK: json.RawMessage(`{"kty":"EC"}`)}},
		},
		SigningKey: secret.New([]byte(`{"kty":"EC","d":"canary-private"}`)),
		Identity: []snapshot.IdentitySource{
			{Name: "users", SubjectPrefix: "u-", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText("alice:canary-hash")}},
			{Name: "app", SubjectPrefix: "a-", Webhook: &snapshot.Webhook{LoginURL: "https://app.example.com/check", LookupURL: "https://app.example.com/user", Timeout: snapshot.Duration(time.Second)}},
			{Name: "corp", SubjectPrefix: "c-", OIDC: &snapshot.OIDC{IssuerURL: "https://login.example.com", ClientID: "shop", SubjectClaim: "oid", RoleClaim: "role"}},
			{Name: "jobs", SubjectPrefix: "j-", Kubernetes: &snapshot.Kubernetes{
				Issuer: "https://kubernetes.default.svc", JWKS: json.RawMessage(`{"keys":[]}`),
				Accounts: []snapshot.ServiceAccount{{Namespace: "batch", Name: "report", Role: "reporter"}},
			}},
		},
		Clients:        []snapshot.Client{{ID: "orders", Audiences: []string{"web"}}},
		Browser:        snapshot.Browser{Cookies: snapshot.CookiesOptional, LoginURL: "/login", AllowedOrigins: []string{"https://app.example.com"}},
		FailureLimit:   snapshot.RateLimit{Limit: 100, Window: snapshot.Duration(time.Hour)},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Access:         snapshot.AccessToken{TTL: snapshot.Duration(15 * time.Minute), Audiences: []string{"web"}},
	}
}

func TestIssuerDocumentSurvivesEncoding(t *testing.T) {
	want := issuerDocument()
	raw, err := snapshot.EncodeIssuer(want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := snapshot.EncodeIssuer(want)
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("the same document has other bytes (error %v)", err)
	}
	got, err := snapshot.DecodeIssuer(raw)
	if err != nil {
		t.Fatal(err)
	}
	secrets := cmp.Options{
		cmp.Comparer(func(a, b secret.Bytes) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, secrets); diff != "" {
		t.Errorf("changed on the way (-sent +read):\n%s", diff)
	}
	if printed := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(printed, "canary") {
		t.Errorf("the document prints its secrets: %s", printed)
	}
}

// TestUnconfiguredIsAbsent holds documents without the newer members to the bytes that older programs read.
func TestUnconfiguredIsAbsent(t *testing.T) {
	issuer, edge := issuerDocument(), snapshot.Edge{}
	issuer.Identity, issuer.Clients, issuer.Browser, issuer.FailureLimit = issuer.Identity[:1], nil, snapshot.Browser{}, snapshot.RateLimit{}
	rawIssuer, err := snapshot.EncodeIssuer(issuer)
	if err != nil {
		t.Fatal(err)
	}
	rawEdge, err := snapshot.EncodeEdge(edge)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{rawIssuer, rawEdge} {
		zip, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(zip)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"loginFailureLimit", "browser", "clients", "webhook", "oidc", "kubernetes", "accessCookie"} {
			if bytes.Contains(plain, []byte(`"`+member+`"`)) {
				t.Errorf("a document that does not configure %s has it", member)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := `{"format":"keyturn.dev/edge-snapshot/v1","revision":3,"tokenService":"a/b","issuer":"https://x","keySet":{},"audiences":["w"]}`
	if _, err := snapshot.DecodeEdge([]byte(good)); err != nil {
		t.Fatalf("the good document: %v", err)
	}
	zipped, err := snapshot.EncodeEdge(snapshot.Edge{})
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct{ name, raw, reason, hint string }{
		{"nothing", "", "Undecodable", "not JSON"},
		{"garbage", "\x00\x01", "Undecodable", "byte"},
		{"half a gzip", string(zipped[:len(zipped)/2]), "Undecodable", "gzip"},
		{"another format", strings.Replace(good, "/v1", "/v9", 1), "WrongFormat", "this build reads"},
		{"the issuer's document", strings.Replace(good, "edge", "issuer", 1), "WrongFormat", "edge-snapshot"},
		{"a misspelt member", strings.Replace(good, "audiences", "audience", 1), "Undecodable", "audience"},
		{"a number for a text", strings.Replace(good, `"https://x"`, `7`, 1), "Undecodable", "issuer"},
		{"two documents", good + good, "Undecodable", "follows"},
		{"far too large", strings.Repeat(" ", 9*snapshot.MaxBytes) + good, "Undecodable", "too large"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := snapshot.DecodeEdge([]byte(row.raw))
			var refused *snapshot.RefusedError
			if !errors.As(err, &refused) || refused.Reason != row.reason || !strings.Contains(err.Error(), row.hint) {
				t.Errorf("got %v, want reason %s and the hint %q", err, row.reason, row.hint)
			}
		})
	}
}

func TestDecodeErrorsQuoteNoContent(t *testing.T) {
	for _, raw := range []string{
		`{"format":"keyturn.dev/issuer-snapshot/v1","signingKey":{"d":"canary"},"issuer":{"canary":1}}`,
		`{"format":"keyturn.dev/issuer-snapshot/v1","signingKey":"canary`,
		`{"format":"keyturn.dev/issuer-snapshot/v1","accessToken":{"ttl":"canary"}}`,
		`{"format":"keyturn.dev/issuer-snapshot/v1","trustedProxies":["canary"]}`,
	} {
		if _, err := snapshot.DecodeIssuer([]byte(raw)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v", raw, err)
		}
	}
}
