package extauthz

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/browser"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/steering"
)

// question is one check, as a protocol read it.
type question struct {
	protocol      string
	policy        string
	peer          netip.Addr
	refusal       policy.Reason
	authorization []string // every value of the header, in order
	method        string   // of the original request, as the rest
	scheme, host  string
	target        string
	page          page
	agent         string // User-Agent
	// headers are all of the request that the protocol shows; nil if it shows none beside those above.
	headers requestHeaders
	// hides: the client's own headers are refused where they could be taken for an identity header, because the answer
	// cannot remove them.
	hides bool
	// plain: the answer can have the statuses 200, 401, 403 and 503 only.
	plain bool
}

// outcome is a decision with what an answer needs beside it.
type outcome struct {
	policy.Decision
	id        string // of a denial, and of what an audit let through
	challenge string
	// announcement are the headers that tell the client when legacy sessions end.
	announcement []steering.Header
	// location is where a 302 leads.
	location string
	// told are the identity headers of the document's policies, beside those of every policy.
	told []field
	// remove are further spellings of those, in lower case, that must not reach the application.
	remove []string
	// kept: texts of the question may be needed after the answer. What asks about legacy sessions goes on on its own, and
	// what counts them remembers words of theirs; without them nothing does.
	kept bool
}

// decide answers the question, counts it and, if it denies, logs it.
func (a *Authorizer) decide(ctx context.Context, q question) outcome {
	started := a.now()
	edge := a.edges.Load()
	q.host = canonicalHost(q.scheme, q.host)
	in, access, judged := a.input(ctx, edge, &q, started)
	decision := policy.Decide(in)
	if out, is := a.probed(edge, access, q, in, decision, started); is {
		out.kept = edge.steering != nil
		return out
	}
	out := outcome{Decision: decision}
	if edge != nil {
		out.challenge, out.kept = edge.challenge, edge.steering != nil
		if judged.announce {
			out.announcement = edge.steering.Headers()
		}
		out.told = edge.told(access, decision, in.Header)
		if decision.Allow && len(edge.names) > 0 {
			out.remove = append(edge.claimed(q.headers), edge.aliases...)
		}
	}
	if decision.LoginURL != "" {
		out.location = loginLocation(decision.LoginURL, q.target)
	}
	if !decision.Allow || decision.WouldDeny != "" {
		out.id = a.nextID()
		a.logDenial(q, out, started)
		a.audit(judged, out)
	}
	took := a.now().Sub(started)
	if edge != nil {
		a.countDecision(edge, judged, decision, q, started, took)
	}
	a.metrics.decided(q.protocol, decision, took)
	return out
}

// countDecision tells the rollout what the policy said, also where its audit let it through. Nobody in particular has no
// side.
func (a *Authorizer) countDecision(edge *Edge, j judged, d policy.Decision, q question, now time.Time, took time.Duration) {
	if d.WouldDeny != "" {
		a.policies.audited.WithLabelValues(string(d.WouldDeny)).Inc()
		if d.Method == "" {
			d = policy.Deny(d.WouldDeny)
		}
	}
	if !d.Allow || d.Method != "" {
		a.counted(edge, j, d, q, now, took)
	}
}

// input gathers what the decision rests on. q.refusal is made complete, for the log.
func (a *Authorizer) input(ctx context.Context, edge *Edge, q *question, now time.Time) (in policy.Input, p *access, j judged) {
	in.Refusal = q.refusal
	if edge == nil {
		return in, nil, j
	}
	in.Edge = a.state(edge)
	switch {
	case !edge.trusts(q.peer):
		in.Refusal = policy.UntrustedPeer
		a.untrusted.Store(&sighting{peer: q.peer, at: now})
	case q.hides && len(edge.claimed(q.headers)) > 0:
		in.Refusal = policy.SpoofedIdentity
	}
	p = edge.policies[q.policy]
	if in.Refusal != "" || in.Edge != policy.EdgeFresh && in.Edge != policy.EdgeStaleServing || p == nil {
		return in, nil, j // nothing that the request carries matters any more
	}
	in.Policy = &p.Policy
	in.Request = policy.Request{
		Method: q.method, Target: q.target, Preflight: q.page.preflight(),
		Navigation: !q.plain && p.LoginURL != "" && q.method == "GET" && q.page.navigation() && !leadsTo(p.LoginURL, q.target),
	}
	j = a.judge(ctx, edge, p, *q, now)
	in.Header = j.Credential
	return in, p, j
}

// credential tells what the request's tokens are worth together, in the places where the policy looks for them.
func (a *Authorizer) credential(edge *Edge, p *access, q question, now time.Time) policy.Credential {
	if p.sources != nil {
		return a.gather(edge, p.sources, q, now)
	}
	raw, reason := bearerToken(q.authorization)
	header := a.verify(edge, raw, reason, now)
	if edge.cookie == "" {
		return header
	}
	inCookie, reason := cookieToken(q.page.cookies, edge.cookie)
	if reason == "" && header.Outcome != policy.Absent && inCookie == raw {
		return header // the same token twice
	}
	cookie := a.verify(edge, inCookie, reason, now)
	return policy.Combine(header, cookie, cookie.Outcome == policy.Valid && q.foreignPage())
}

// gather looks into the places that a policy names.
func (a *Authorizer) gather(edge *Edge, sources []source, q question, now time.Time) policy.Credential {
	places := make([]policy.Place, 0, len(sources))
	for _, s := range sources {
		raw, reason := s.token(q)
		places = append(places, policy.Place{
			Credential: a.verify(edge, raw, reason, now), Cookie: s.cookie != "", RejectForeign: s.rejectForeign,
		})
	}
	return policy.Gather(places, q.foreignPage())
}

// token takes the token out of the place.
func (s source) token(q question) (string, policy.Reason) {
	switch s.header {
	case "":
		return cookieToken(q.page.cookies, s.cookie)
	case "authorization":
		return schemeToken(q.authorization, s.scheme)
	default:
		return schemeToken(valuesOf(q.headers, s.header), s.scheme)
	}
}

// canonicalHost is the host as everybody means it: in lower case, without the dot of the root and the scheme's own port.
func canonicalHost(scheme, host string) string {
	name, port := splitPort(host)
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if port == "" {
		return name
	}
	return name + ":" + port
}

// loginLocation is the address of the login with the way back to the target, if a browser can be sent there again.
func loginLocation(login, target string) string {
	if !browser.IsReturnPath(target) {
		return login
	}
	return browser.LoginAt(login, target)
}

// leadsTo tells whether the target is the login itself: whoever is sent there from there goes round in circles.
func leadsTo(login, target string) bool {
	path, _, _ := strings.Cut(target, "?")
	at, _, _ := strings.Cut(login, "?")
	return path == at
}
