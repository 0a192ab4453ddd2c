package snapshot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func edgeDocument() snapshot.Edge {
	minute := snapshot.Duration(time.Minute)
	return snapshot.Edge{
		Header:    snapshot.Header{Revision: 3, TokenService: "shop/web", Issuer: "https://shop.example.com"},
		Keys:      snapshot.KeySet{Name: "shop/main", Epoch: 17, Active: "k1", ClockSkew: minute, Keys: []snapshot.Key{{KID: "k1", Algorithm: "ES256", JWK: json.RawMessage(`{"kty":"EC"}`)}}},
		Audiences: []string{"web"}, MaxTTL: minute, Claims: []string{"role"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("fd00::/8")},
		Feed: snapshot.FeedAddress{Address: "feed:8444", ServerName: "feed"}, MaxPropagation: minute, OnStaleRevocation: snapshot.FailClosed, AccessCookie: snapshot.AccessCookie,
		Rollout: &snapshot.Rollout{Name: "shop/move", Cookie: "connect.sid", Salt: "s", Percent: 10},
		Policies: []snapshot.AccessPolicy{{
			Name: "shop/jwt", Accept: []string{snapshot.AcceptJWT}, Roles: []string{"admin"}, Rules: []snapshot.AccessRule{{Path: "/a", PathType: snapshot.PathPrefix, Methods: []string{"GET"}, Anonymous: true}},
			Sources: []snapshot.TokenSource{{Header: "Authorization", Scheme: "Bearer"}}, Headers: []snapshot.UpstreamHeader{{Name: "X-Role", Claim: "role"}},
		}},
	}
}

// FuzzDecode: a document is refused with a reason that quotes none of its values, or is one of the format asked for, is
// JSON to the library as well, and is the same after it was written and read again.
//
//fuzz:with encoding/json
func FuzzDecode(f *testing.F) {
	// Of a compressed document, which has a checksum, no change is read at all: most are plain.
	issuer, err1 := snapshot.PlainIssuer(issuerDocument())
	edge, err2 := snapshot.PlainEdge(edgeDocument())
	zipped, err3 := snapshot.EncodeEdge(edgeDocument())
	if err := errors.Join(err1, err2, err3); err != nil {
		f.Fatal(err)
	}
	for _, raw := range [][]byte{issuer, edge, zipped} {
		f.Add(raw)
	}
	f.Add([]byte(`{"format":"keyturn.dev/edge-snapshot/v1","revision":3}`))
	f.Add([]byte(`{"format":"keyturn.dev/issuer-snapshot/v1","trustedProxies":["canary"],"jwks":{"maxAge":"canary"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		i, errIssuer := snapshot.DecodeIssuer(raw)
		e, errEdge := snapshot.DecodeEdge(raw)
		checkRefusal(t, errIssuer)
		checkRefusal(t, errEdge)
		if errIssuer == nil {
			if i.Format != snapshot.IssuerFormat || errEdge == nil {
				t.Fatalf("took the format %q", i.Format)
			}
			roundTrip(t, i, snapshot.PlainIssuer, snapshot.DecodeIssuer)
		}
		if errEdge == nil {
			if e.Format != snapshot.EdgeFormat {
				t.Fatalf("took the format %q", e.Format)
			}
			roundTrip(t, e, snapshot.PlainEdge, snapshot.DecodeEdge)
		}
		if (errIssuer == nil || errEdge == nil) && raw[0] != 0x1f && !json.Valid(raw) {
			t.Fatalf("took what is no JSON: %q", raw)
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var refused *snapshot.RefusedError
	if !errors.As(err, &refused) || refused.Reason == "" {
		t.Fatalf("refused without a reason: %v", err)
	}
	// Names of members are told, and the format, each to a length.
	text := err.Error()
	if len(text) > 300 || strings.Contains(text, "canary") && refused.Reason != "WrongFormat" && !strings.Contains(text, "unknown member") {
		t.Fatalf("the refusal quotes the document: %s", text)
	}
}

func roundTrip[T any](t *testing.T, doc T, write func(T) ([]byte, error), read func([]byte) (T, error)) {
	t.Helper()
	once, err := write(doc)
	if err != nil {
		t.Fatalf("was read, cannot be written: %v", err)
	}
	again, err := read(once)
	if err != nil {
		t.Fatalf("was written, cannot be read: %v", err)
	}
	if twice, err := write(again); err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("is another after it was written and read (%v)", err)
	}
}
