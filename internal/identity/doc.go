// Package identity says who somebody is: it knows users by name and password, and by tokens that others made for them.
//
//	name, password ──▶ Directory ──▶ source 1 knows the name? ──yes──▶ it decides: its hash (one of few slots),
//	                                    │ no                            or the application's answer (webhook)
//	                                    ▼
//	                                 source 2 … ──nobody──▶ a dummy hash, then the same refusal
//
//	subject token ──▶ strict reading ──▶ the source of its `iss` ──▶ claims, then the signature: by the provider's keys
//	                                                                 (OIDC), or by the cluster's in the snapshot
//
// The first source that knows a name decides. A source that cannot answer is an error and never skipped, because
// skipping it would let the next source answer for its users. A token's issuer names one source, and no other is asked.
//
// [Directory] is what one snapshot says and does not change. [Sources] is what outlives a snapshot: files that are
// followed, connections, circuit breakers, keys of providers.
//
// Names are compared in Unicode form NFKC, so that two spellings that look the same are one account; upper and lower
// case are different accounts, as in every htpasswd file. A password has at most [MaxPasswordBytes]; one longer than
// 72 bytes never matches a bcrypt hash, because bcrypt would compare its first 72 bytes only and accept any rest.
// Hashing is bounded: a [Hasher] runs few hashes at once, lets a bounded number wait and turns the rest away.
//
// Every refusal costs one hash where there is an htpasswd list, whoever refuses, so that time does not tell who exists.
// What it can tell: with a list before a webhook, a name of the list is refused without the webhook's time. The other
// order has no such difference. How long the webhook itself takes is its own affair.
//
// See docs/identity.md for the webhook's contract and all numbers. Specifications: RFC 8693 (token exchange), OpenID
// Connect Core 1.0 and Discovery 1.0, RFC 7515, 7517, 7519, RFC 8725 (best practices for JWT).
package identity
