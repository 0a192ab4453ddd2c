// Package policy decides, from facts that others have gathered, whether one request goes on to the application.
//
//	proxy ──▶ extauthz: reads the request ──▶ token: outcome of the JWT ──▶ revocation: still trusted?
//	                                     └──▶ policy.Decide(Input) ──▶ Decision ──▶ gRPC or HTTP answer
//
// It is pure: values in, values out, the standard library only. It reads no clock, writes no log and starts nothing, so
// that its test can walk the whole product of its inputs. The zero [Input] and the zero [Decision] deny.
//
// The order of a decision is that of docs/design.md, section 5: can the edge decide at all, is the request one that may
// be asked about, is there a policy, which of its rules is for this request, what is the credential worth, can the
// identity be told to the application, has the user one of the roles. What the policy refuses its audit lets through;
// what was refused before it stays refused.
package policy
