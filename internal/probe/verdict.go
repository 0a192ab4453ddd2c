package probe

import (
	"fmt"
	"net/http"
)

// Verdict is what the answers prove.
type Verdict string

const (
	// Failed means: nothing is known; ask again.
	Failed Verdict = "failed"
	// Enforced means: the policy was asked, and refused what must be refused.
	Enforced Verdict = "enforced"
	// Auditing means: the policy was asked, and refuses nothing, as its mode says.
	Auditing Verdict = "auditing"
	// NotEnforced means: an answer that is not the edge's.
	NotEnforced Verdict = "not_enforced"
	// WrongPolicy means: an edge refused, but not by this policy.
	WrongPolicy Verdict = "wrong_policy"
)

// Verdicts are all of them.
var Verdicts = []Verdict{Enforced, Auditing, NotEnforced, WrongPolicy, Failed}

// Result is a verdict, and what it rests on, in words that hold nothing foreign.
type Result struct {
	Verdict Verdict
	// Open: a request that must be refused got an answer 2xx.
	Open    bool
	Message string
}

func failed(format string, args ...any) Result {
	return Result{Verdict: Failed, Message: fmt.Sprintf(format, args...)}
}

// said is what an edge answered.
func (s seen) said() string {
	text := fmt.Sprintf("%d", s.status)
	if s.code != "" {
		text += " " + s.code
	}
	return text + " (decision " + s.decision + ")"
}

// unproven judges an answer to the probe in which the edge does not say that it is this policy's.
func unproven(s seen, q Question) Result {
	switch {
	case s.status/100 == 2:
		return Result{Verdict: NotEnforced, Open: true, Message: fmt.Sprintf("the probe was answered %d: the ingress does not ask the edge, the route is OPEN", s.status)}
	case s.decision == "":
		return foreign(s)
	case s.status >= 500:
		return failed("the edge refuses everything at the moment: %s", s.said())
	}
	switch s.code {
	case "untrusted_peer", "spoofed_identity", "bad_request_target", "missing_dialect_header":
		return failed("the edge refuses whatever comes through this ingress: %s; see docs/ingress for how it is to ask", s.said())
	case "no_policy":
		return Result{Verdict: WrongPolicy, Message: fmt.Sprintf("the ingress asks an edge by the name of a policy that it does not have: %s; let it name %s", s.said(), q.Policy)}
	}
	return Result{Verdict: WrongPolicy, Message: fmt.Sprintf("an edge refused, and did not know the probe of %s: %s; the ingress names another policy or another TokenService's edge here, or drops WWW-Authenticate, or the clocks are a minute apart", q.Policy, s.said())}
}

// foreign judges a refusal, a redirect or a fault that is not the edge's.
func foreign(s seen) Result {
	switch {
	case s.status >= 500:
		return failed("the ingress or what is behind it answered %d", s.status)
	case s.elsewhere:
		return failed("it redirects (%d) to the same path by another scheme or host, and probes follow no redirect: name the URL that it leads to", s.status)
	}
	return Result{Verdict: NotEnforced, Message: fmt.Sprintf("the probe was answered %d, and not by Keyturn: the ingress does not ask the edge, or it has no route for this URL", s.status)}
}

// step is a request that must be refused.
type step struct {
	what, authorization string
	// statuses are those that a refusal can have.
	statuses []int
}

// steps are those that the edge has not said it lets through.
func steps(stance Stance) []step {
	garbage := step{"a request with a worthless token", "Bearer keyturn.probe.worthless", []int{http.StatusUnauthorized}}
	nothing := step{"a request without a credential", "", []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusFound}}
	switch stance {
	case Refuses:
		return []step{garbage, nothing}
	case Anonymous:
		return []step{garbage}
	case Open, Audits:
	}
	return nil
}

// judge tells whether an answer is not the refusal that it must be.
func (t step) judge(s seen, q Question) (Result, bool) {
	for _, status := range t.statuses {
		if s.status == status && s.decision != "" {
			return Result{}, false
		}
	}
	switch {
	case s.status/100 == 2:
		return Result{Verdict: NotEnforced, Open: true, Message: fmt.Sprintf("%s was answered %d: the ingress lets it by the edge, the route is OPEN", t.what, s.status)}, true
	case s.status >= 500 && s.decision != "":
		return failed("%s was answered %s", t.what, s.said()), true
	case s.decision == "":
		r := foreign(s)
		if r.Verdict == NotEnforced {
			r.Message = fmt.Sprintf("%s was answered %d, and not by Keyturn: the ingress asks the edge for some requests only", t.what, s.status)
		}
		return r, true
	}
	return Result{Verdict: NotEnforced, Message: fmt.Sprintf("%s was answered %s, which is not the refusal of %s", t.what, s.said(), q.Policy)}, true
}

// granted is the verdict where everything was refused that the policy refuses.
func granted(stance Stance) Result {
	r := Result{Verdict: Enforced}
	switch stance {
	case Refuses:
		r.Message = "the ingress asked this policy, which refused a request without a credential and one with a worthless token"
	case Anonymous:
		r.Message = "the ingress asked this policy, which refused a worthless token; a request without a credential was not sent, because a rule of the policy lets it through at this URL"
	case Open:
		r.Message = "the ingress asked this policy; nothing else was sent, because a rule of the policy lets everybody through at this URL: name another one to see more"
	case Audits:
		return Result{Verdict: Auditing, Message: "the ingress asked this policy, whose mode is Audit: it refuses nothing"}
	default:
		return failed("the edge answered in a way that this manager does not know: one of the two is older")
	}
	return r
}
