// Package extauthz answers the external-authorization calls of ingress proxies: one decision, two protocols.
//
//	Envoy ──gRPC Check──▶ grpc.go ─┐                ┌─ snapshot.File[Edge]   one immutable document
//	                               ├─ question ──▶ Authorizer.decide ─┤  token.Verifier       what is the token worth?
//	nginx ──sub-request─▶ http.go ─┘                └─ revocation.List       is it still trusted?
//	                                                  policy.Decide ──▶ answer: allow, or deny with a reason
//
// A protocol only reads a question and only writes an answer; neither knows a rule. An answer is made by one of two
// functions a protocol, and the one that allows takes nothing but a decision that allows. Deciding does no I/O and
// takes no lock. A panic denies.
//
// A legacy session is the exception, and only where the document has a rollout: in the place of a token, or beside one, it
// is asked about over the feed's connection. What is known is remembered for ten seconds; a request waits for the rest,
// within a bound that is below the proxies' own. Beside a valid token it waits a tenth of a second, because the question
// is only whether the session is another user's; without an answer the token alone decides. The revocation of a session
// counts at once. That of its user makes the edge ask again at once: sessions have no number that tells old from new,
// so who ended the old ones must say which are left. A token that is alone comes near none of this.
//
// The legacy cookie is the application's own: the rule about pages of other sites, which is for the token's cookie, is
// not applied to it, and what the application does against such pages it must go on doing.
//
// The policy is named by the proxy's configuration, never by what a client sends: by the context extension
// [PolicyExtension] in gRPC, by the path `/authz/<dialect>/<namespace>/<name>` in HTTP. A dialect reads exactly one set
// of headers about the original request and ignores every other, because no proxy strips the headers of another's.
//
// What is answered when the edge cannot decide (no document, revocations not loaded, FailClosed and stale, a fault) is
// 503, in every protocol. nginx's auth_request turns that into 500, or into 503 with the documented recipe; neither is
// ever forwarded, and neither tells a client that its token is bad.
package extauthz
