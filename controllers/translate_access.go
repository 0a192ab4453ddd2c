package controllers

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// accessEntry is an AccessPolicy as the edge's document carries it.
type accessEntry struct {
	doc snapshot.AccessPolicy
	// digest is of its JSON, of that many bytes: what two compilations are compared by.
	digest [sha256.Size]byte
	size   int
}

// protocolClaims are the claims of every token that the application may be told.
var protocolClaims = []string{"client_id", "sid", "sub"}

// accessDocument compiles an AccessPolicy. allowed are the custom claims that tokens of its TokenService may carry. A claim
// that none of them has is an error: left out, the client could send the header itself.
func accessDocument(acp *keyturnv1alpha1.AccessPolicy, allowed []string) (*accessEntry, error) {
	spec := &acp.Spec
	doc := snapshot.AccessPolicy{
		Name: accessName(acp), Roles: spec.Require.Roles, Preflight: spec.Preflight, Audit: spec.Mode == keyturnv1alpha1.AccessAudit,
	}
	for _, credential := range spec.Accept {
		doc.Accept = append(doc.Accept, string(credential))
	}
	slices.Sort(doc.Accept)
	for i := range spec.Rules {
		rule := &spec.Rules[i]
		compiled := snapshot.AccessRule{Methods: rule.Methods, Roles: rule.Roles, Anonymous: rule.Anonymous}
		if rule.Path != nil {
			compiled.Path, compiled.PathType = rule.Path.Value, string(rule.Path.Type)
		}
		doc.Rules = append(doc.Rules, compiled)
	}
	if spec.Unauthenticated.Navigation == keyturnv1alpha1.NavigationRedirect {
		doc.LoginURL = deref(spec.Unauthenticated.LoginURL, "")
	}
	for _, source := range spec.TokenSources {
		compiled := snapshot.TokenSource{RejectForeign: source.Foreign == keyturnv1alpha1.ForeignReject}
		if source.Header != nil {
			compiled.Header, compiled.Scheme = source.Header.Name, deref(source.Header.Scheme, "")
		}
		if source.Cookie != nil {
			compiled.Cookie = source.Cookie.Name
		}
		doc.Sources = append(doc.Sources, compiled)
	}
	for _, header := range spec.UpstreamHeaders {
		if !slices.Contains(allowed, header.Claim) && !slices.Contains(protocolClaims, header.Claim) {
			return nil, stop(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonInvalidSpec,
				"upstreamHeaders: tokens do not carry the claim %q: use one of %s, or add it to claims.allow of the TokenPolicy", header.Claim, strings.Join(append(slices.Clone(allowed), protocolClaims...), ", "))
		}
		doc.Headers = append(doc.Headers, snapshot.UpstreamHeader{Name: header.Name, Claim: header.Claim})
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode AccessPolicy %s: %w", doc.Name, err)
	}
	return &accessEntry{doc: doc, digest: sha256.Sum256(raw), size: len(raw)}, nil
}

// accessName is the name by which the ingress asks.
func accessName(acp *keyturnv1alpha1.AccessPolicy) string { return acp.Namespace + "/" + acp.Name }

// toldHeaders are the headers that the edge tells the application, the identity first.
func toldHeaders(acp *keyturnv1alpha1.AccessPolicy) []string {
	names := slices.Clone(policy.IdentityHeaders[:])
	for _, header := range acp.Spec.UpstreamHeaders {
		names = append(names, header.Name)
	}
	return names
}

// askedHeaders are the headers of a request that the edge decides by, where a proxy forwards those only that are listed. What
// the edge tells the application is none of them.
func askedHeaders(acp *keyturnv1alpha1.AccessPolicy) []string {
	names := []string{
		"Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
		"Access-Control-Request-Method", "Accept", "User-Agent",
	}
	for _, source := range acp.Spec.TokenSources {
		if source.Header != nil && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, source.Header.Name) }) {
			names = append(names, source.Header.Name)
		}
	}
	return names
}

// roomFor tells whether the edge's document, which has them, can be stored.
func roomFor(edge *snapshot.Edge, entries []accessEntry) bool {
	total := 0
	for i := range entries {
		total += entries[i].size
	}
	return total < surelyFits || fits(edge)
}

// fitAccess puts as many policies into the edge's document as it can carry. What the stored document has of them stays as it
// is, and changes are taken over from the oldest policy on: the newest are left out, and returned by name. Keys rotate all the
// same, whatever the policies say. entries are ordered from the oldest on.
func fitAccess(edge *snapshot.Edge, entries []accessEntry, stored []snapshot.AccessPolicy) (left map[string]bool) {
	before := map[string]snapshot.AccessPolicy{}
	for _, p := range stored {
		before[p.Name] = p
	}
	var kept, changed []accessEntry
	for _, entry := range entries {
		was, known := before[entry.doc.Name]
		if raw, err := json.Marshal(was); known && err == nil && sha256.Sum256(raw) == entry.digest {
			kept = append(kept, entry)
			continue
		}
		changed = append(changed, entry)
	}
	with := func(taken int) []accessEntry {
		out := append(slices.Clone(kept), changed[:taken]...)
		for _, entry := range changed[taken:] {
			if was, known := before[entry.doc.Name]; known {
				out = append(out, accessEntry{doc: was})
			}
		}
		return out
	}
	taken := 0
	for low, high := 0, len(changed); low < high; { // the most that fit: each question costs a whole encoding
		middle := (low + high + 1) / 2
		edge.Policies = accessPolicies(with(middle))
		if fits(edge) {
			low, taken = middle, middle
		} else {
			high = middle - 1
		}
	}
	edge.Policies = accessPolicies(with(taken))
	left = map[string]bool{}
	for _, entry := range changed[taken:] {
		left[entry.doc.Name] = true
	}
	return left
}

// surelyFits are bytes of policies that fit into a document whatever else is in it.
const surelyFits = snapshot.MaxBytes / 2

// fits tells whether a document can be stored under any revision.
func fits(edge *snapshot.Edge) bool {
	probe := *edge
	probe.Revision = 1 << 52
	raw, err := snapshot.EncodeEdge(probe)
	return err == nil && len(raw) <= snapshot.MaxBytes-64
}

func accessPolicies(entries []accessEntry) []snapshot.AccessPolicy {
	out := make([]snapshot.AccessPolicy, 0, len(entries))
	for i := range entries {
		out = append(out, entries[i].doc)
	}
	slices.SortFunc(out, func(a, b snapshot.AccessPolicy) int { return strings.Compare(a.Name, b.Name) })
	return out
}
