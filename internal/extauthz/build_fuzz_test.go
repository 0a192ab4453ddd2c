package extauthz

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// FuzzBuild: a document is refused with a reason, or the edge that is made of it trusts nobody whom the document does
// not name, knows no key that it does not name, and is taken again.
//
//fuzz:with ./internal/snapshot ./internal/token ./internal/policy encoding/json
func FuzzBuild(f *testing.F) {
	whole := document(2, 2, signingKeys()[0])
	whole.Format = snapshot.EdgeFormat
	whole.Policies, whole.AccessCookie = accessPolicies(), snapshot.AccessCookie
	whole.Rollout = &snapshot.Rollout{Name: "shop/move", Cookie: "connect.sid", Salt: "s", Percent: 10}
	small := document(1, 1, signingKeys()[0])
	small.Format = snapshot.EdgeFormat
	for _, doc := range []snapshot.Edge{whole, small} {
		plain, err := json.Marshal(doc)
		check(f, err)
		f.Add(plain) // a compressed one has a checksum, so that no change of it is read at all
	}
	f.Add(encode(f, small))
	f.Add([]byte(`{"format":"keyturn.dev/edge-snapshot/v1","revision":1,"keySet":{"keys":[{}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		edge, err := Build(raw, nil)
		if (edge == nil) == (err == nil) {
			t.Fatal("neither taken nor refused")
		}
		var refused *snapshot.RefusedError
		if err != nil {
			if !errors.As(err, &refused) || refused.Reason == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		checkEdge(t, raw, edge)
		if again, err := Build(raw, edge); err != nil || again.header != edge.header || again.epoch != edge.epoch {
			t.Fatalf("taken once, then %v", err)
		}
	})
}

func checkEdge(t *testing.T, raw []byte, edge *Edge) {
	t.Helper()
	doc, err := snapshot.DecodeEdge(raw)
	check(t, err)
	v := edge.verifier
	if edge.header != doc.Header || v.Issuer == "" || v.Issuer != doc.Issuer || !slices.Equal(v.Audiences, doc.Audiences) || v.AnyAudience || v.MaxTTL <= 0 || v.Skew < 0 || v.Skew > maxSkew {
		t.Fatalf("the verifier is not the document's: %+v", v)
	}
	if len(edge.trusted) == 0 || !slices.Equal(edge.trusted, doc.TrustedProxies) || len(doc.Keys.Keys) == 0 || len(edge.policies) != len(doc.Policies)+1 || edge.policies[policy.DefaultPolicy] == nil {
		t.Fatalf("not what the document says: %+v", edge)
	}
	for _, p := range edge.trusted {
		if !p.IsValid() || p.Bits() < 1 {
			t.Fatalf("everybody is trusted: %s", p)
		}
	}
	for _, k := range doc.Keys.Keys {
		if found := v.Keys.Find(k.KID); found == nil || string(found.Algorithm()) != k.Algorithm {
			t.Fatalf("the key %q is another: %v", k.KID, found)
		}
	}
	for _, p := range doc.Policies {
		in := policy.Input{Edge: policy.EdgeFresh, Policy: &edge.policies[p.Name].Policy, Request: policy.Request{Method: "GET", Target: "/"}, Header: policy.Credential{Outcome: policy.Invalid}}
		if d := policy.Decide(in); d.Allow && !p.Audit {
			t.Fatalf("%s lets a bad token in: %+v", p.Name, d)
		}
	}
	if v.Verify(time.Now(), "a.b.c").Outcome == policy.Valid {
		t.Fatal("accepts anything")
	}
}
