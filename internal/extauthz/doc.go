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
// The policy is named by the proxy's configuration, never by what a client sends: by the context extension
// [PolicyExtension] in gRPC, by the path `/authz/<dialect>/<namespace>/<name>` in HTTP. A dialect reads exactly one set
// of headers about the original request and ignores every other, because no proxy strips the headers of another's.
//
// What is answered when the edge cannot decide (no document, revocations not loaded, FailClosed and stale, a fault) is
// 503, in every protocol. nginx's auth_request turns that into 500, or into 503 with the documented recipe; neither is
// ever forwarded, and neither tells a client that its token is bad.
package extauthz
