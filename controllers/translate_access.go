package controllers

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
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
			return nil, invalidAccess("upstreamHeaders: tokens do not carry the claim %q: use one of %s, or add it to claims.allow of the TokenPolicy", header.Claim, strings.Join(append(slices.Clone(allowed), protocolClaims...), ", "))
		}
		doc.Headers = append(doc.Headers, snapshot.UpstreamHeader{Name: header.Name, Claim: header.Claim})
	}
	if err := doc.Check(allowed); err != nil { // one bad policy would make the edges refuse the whole document
		return nil, invalidAccess("no edge would take the policy: %v; mend the field", err)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode AccessPolicy %s: %w", doc.Name, err)
	}
	return &accessEntry{doc: doc, digest: sha256.Sum256(raw), size: len(raw)}, nil
}

func invalidAccess(format string, args ...any) error {
	return stop(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ReasonInvalidSpec, format, args...)
}

// headerUses are the headers that policies set for applications, and those that they take tokens from. One TokenService's
// policies must not do both with the same header, or the edge could not tell a token from a spoofed identity.
type headerUses struct{ told, read map[string]string }

// take adds the headers of a policy, or says which of them clashes with an older policy.
func (u *headerUses) take(doc *snapshot.AccessPolicy) string {
	if u.told == nil {
		u.told, u.read = map[string]string{}, map[string]string{}
	}
	mine := headerUses{told: map[string]string{}, read: map[string]string{}}
	for _, header := range doc.Headers {
		mine.told[snapshot.Spelled(header.Name)] = doc.Name
	}
	for _, source := range doc.Sources {
		if name := snapshot.Spelled(source.Header); name != "" {
			mine.read[name] = doc.Name
		}
	}
	for name := range mine.read {
		if who := cmp.Or(u.told[name], mine.told[name]); who != "" {
			return fmt.Sprintf("it takes tokens from the header %s, which AccessPolicy %s sets for applications: use another header in one of the two", name, who)
		}
	}
	for name := range mine.told {
		if who := u.read[name]; who != "" {
			return fmt.Sprintf("it sets the header %s for applications, from which AccessPolicy %s takes tokens: use another header in one of the two", name, who)
		}
	}
	maps.Copy(u.told, mine.told)
	maps.Copy(u.read, mine.read)
	return ""
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
