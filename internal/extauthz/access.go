package extauthz

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// access is one AccessPolicy, ready to be asked. It does not change.
type access struct {
	policy.Policy
	// sources are where tokens are looked for; nil: in Authorization and in the access cookie.
	sources []source
	// headers are what the application is told beside the identity headers that every policy has.
	headers []snapshot.UpstreamHeader
}

// source is one place of a request.
type source struct {
	header, scheme string // header in lower case
	cookie         string
	rejectForeign  bool
}

// readPolicies compiles the policies of a document. What is wrong with one refuses the document: an edge that left one
// out would refuse a route, and one that guessed would open it.
func readPolicies(doc snapshot.Edge) (map[string]*access, error) {
	if err := snapshot.CheckPolicies(doc.Policies, doc.Claims); err != nil {
		return nil, snapshot.Refuse("Incomplete", "%w", err)
	}
	all := map[string]*access{policy.DefaultPolicy: {Policy: *policy.Default()}}
	for _, p := range doc.Policies {
		all[p.Name] = compile(p)
	}
	return all, nil
}

// compile takes a policy that was checked.
func compile(p snapshot.AccessPolicy) *access {
	a := &access{headers: p.Headers, Policy: policy.Policy{
		AcceptJWT: slices.Contains(p.Accept, snapshot.AcceptJWT), AcceptSession: slices.Contains(p.Accept, snapshot.AcceptLegacySession),
		Roles: p.Roles, Preflight: p.Preflight, LoginURL: p.LoginURL, Audit: p.Audit,
	}}
	for _, r := range p.Rules {
		rule := policy.Rule{Prefix: r.PathType == snapshot.PathPrefix, Methods: r.Methods, Roles: r.Roles, Anonymous: r.Anonymous}
		rule.Path, _ = policy.Path(r.Path) // was checked; empty where there is none
		if rule.Prefix && rule.Path == "/" {
			rule.Path = "" // every path, also one with two readings
		}
		a.Rules = append(a.Rules, rule)
	}
	for _, s := range p.Sources {
		if s.Scheme == "" && strings.EqualFold(s.Header, "Authorization") {
			s.Scheme = "Bearer" // its values always have a scheme (RFC 9110, section 11.6.2)
		}
		a.sources = append(a.sources, source{header: strings.ToLower(s.Header), scheme: s.Scheme, cookie: s.Cookie, rejectForeign: s.RejectForeign})
	}
	for _, h := range p.Headers {
		a.Claims = append(a.Claims, h.Claim)
	}
	return a
}

// identityNames are the names of all headers that any policy of the document sets, beside those of every policy, each
// once. Whichever policy a route has, no client may bring any of them.
func identityNames(policies []snapshot.AccessPolicy) []string {
	var names []string
	for _, p := range policies {
		for _, h := range p.Headers {
			if !slices.ContainsFunc(names, func(name string) bool { return sameName(name, h.Name) }) {
				names = append(names, h.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// requestHeaders are the headers of the original request, as a protocol has them.
type requestHeaders interface {
	// each calls f with every header and value, named as it was sent.
	each(f func(name, value string))
}

// valuesOf returns all values of a header. name is in lower case.
func valuesOf(h requestHeaders, name string) (values []string) {
	if h == nil {
		return nil
	}
	h.each(func(n, value string) {
		if len(n) == len(name) && strings.EqualFold(n, name) {
			values = append(values, value)
		}
	})
	return values
}

// claimed are the headers of the request that an application could take for one that the document's policies set.
func (e *Edge) claimed(h requestHeaders) (seen []string) {
	if h == nil || len(e.names) == 0 {
		return nil
	}
	h.each(func(name, _ string) {
		if isToken(name) && slices.ContainsFunc(e.names, func(own string) bool { return sameName(name, own) }) {
			seen = append(seen, strings.ToLower(name))
		}
	})
	return seen
}

// told are the headers of the document's policies, each with its value for this answer. One without a value says that
// the client's own must not pass.
func (e *Edge) told(p *access, d policy.Decision, c policy.Credential) []field {
	if len(e.names) == 0 {
		return nil
	}
	fields := make([]field, 0, len(e.names))
	for _, name := range e.names {
		f := field{name: name}
		if p != nil && d.Allow && d.User != "" {
			for _, h := range p.headers {
				if sameName(h.Name, name) {
					f.value = c.Claim(h.Claim)
				}
			}
		}
		fields = append(fields, f)
	}
	return fields
}
