package policy

import "slices"

// Policy is what a route needs. It is compiled once and does not change. The zero value accepts no credential and lets
// nobody through.
type Policy struct {
	// AcceptJWT and AcceptSession tell which credentials authorize; one that is not accepted is as good as none.
	AcceptJWT, AcceptSession bool
	// Roles are those of which a user must have one, where no rule matches; empty: any user will do.
	Roles []string
	// Rules are tried in their order; the first that matches takes the place of Roles.
	Rules []Rule
	// Preflight lets the questions of browsers before a cross-origin request through (Fetch, section 4.8).
	Preflight bool
	// LoginURL is where navigations without a good credential are sent; empty: nowhere.
	LoginURL string
	// Audit lets through what the policy would refuse.
	Audit bool
	// Claims are what the application is told beside user and role; what cannot be carried in a header is refused.
	Claims []string
}

// Rule is what some requests need. Everything that is set must match.
type Rule struct {
	// Path is decoded and begins with a slash; empty matches all. A prefix matches whole segments, so that `/a` and
	// `/a/` match `/a`, `/a/` and `/a/b`, but not `/ab`.
	Path   string
	Prefix bool
	// Methods are compared with regard to case, as HTTP does; empty: all.
	Methods []string
	// Roles are those of which a user must have one; empty: any user will do.
	Roles []string
	// Anonymous lets through who has no credential.
	Anonymous bool
}

// Default returns the policy of the reserved name: any good credential, no further rules.
func Default() *Policy { return &Policy{AcceptJWT: true, AcceptSession: true} }

// Request is what a policy looks at. The zero value is a request that no rule about methods matches, and whose path is
// ambiguous.
type Request struct {
	Method string
	// Target is the path as the client sent it, with its query.
	Target string
	// Preflight tells that it has what a browser's question before a cross-origin request has, beside the method.
	Preflight bool
	// Navigation tells that a browser asks for a page, and that the answer can send it elsewhere.
	Navigation bool
}

// isPreflight tells whether the request is a browser's question, which never carries a credential.
func (r Request) isPreflight() bool { return r.Preflight && r.Method == "OPTIONS" }

// need is what one request needs.
type need struct {
	roles     []string
	anonymous bool
}

// needs finds what the policy asks of a request. Where it has rules about paths, a path that two readers could take for
// two is ambiguous: nobody knows which rule the application would have meant.
func (p *Policy) needs(r Request) (n need, ambiguous bool) {
	path, plain := "", true
	for i := range p.Rules {
		if p.Rules[i].Path != "" {
			path, plain = Path(r.Target)
			break
		}
	}
	if !plain {
		return need{}, true
	}
	for i := range p.Rules {
		if rule := &p.Rules[i]; rule.matches(r.Method, path) {
			return need{roles: rule.Roles, anonymous: rule.Anonymous}, false
		}
	}
	return need{roles: p.Roles}, false
}

func (r *Rule) matches(method, path string) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) {
		return false
	}
	return r.Path == "" || r.Path == path || r.Prefix && path != "" && within(path, r.Path)
}

// within tells whether path is prefix or below it. A slash at the end of prefix changes nothing.
func within(path, prefix string) bool {
	if prefix[len(prefix)-1] == '/' {
		prefix = prefix[:len(prefix)-1]
	}
	return len(path) >= len(prefix) && path[:len(prefix)] == prefix && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// accepted is the credential as this policy sees it: of a kind that it does not accept there is none. What nobody looked
// at stays a fault.
func (p *Policy) accepted(c Credential) Credential {
	kind := p.AcceptJWT
	if c.Method == MethodSession {
		kind = p.AcceptSession
	}
	looked := c.Outcome >= Absent && c.Outcome <= Valid || c.Reason == LegacyUnavailable
	if !kind && looked {
		return Credential{Outcome: Absent}
	}
	return c
}
