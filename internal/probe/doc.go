// Package probe finds out, through the real ingress, whether a policy is enforced.
//
// An ingress can accept a configuration and not install it; then the route is open, and everything that only looks at
// objects says that all is well. A probe asks the ingress as a client does, and only ever expects a refusal:
//
//	manager ── GET, Bearer keyturn-probe.… ──▶ ingress ── check ──▶ edge      MAC good: 401, and says which policy it is
//	        ◀── 401, WWW-Authenticate: … keyturn-probe="<nonce> <policy> <stance> <proof>" ──┘
//
// Then it asks with a worthless token and without any, which must be refused too, unless the edge has said that its
// policy lets those through. So nothing gets to the application where the ingress does ask the edge; where it does not,
// the first answer says so and the other two are not sent.
//
// The key is derived from the secret that the TokenService's replicas and edges share, and good for nothing else. A token
// counts for one policy and for a minute, and is never let through, whatever the policy says. The proof is a MAC too:
// an application that repeats what it was sent proves nothing.
//
// The URL is a tenant's and the request the manager's, so package probe reaches no address of the node or of the cloud's
// metadata, follows no redirect, sends nothing but the probe, and tells of foreign answers the status only.
package probe
