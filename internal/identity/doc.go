// Package identity says who somebody is: it knows users by name and checks their passwords.
//
//	name, password ──▶ Directory ──▶ source 1 knows the name? ──yes──▶ its hash decides
//	                                    │ no                            (one of few hash slots)
//	                                    ▼
//	                                 source 2 … ──nobody──▶ a dummy hash, then the same refusal
//
// The first source that knows a name decides. A source that cannot be read is an error and never skipped, because
// skipping it would let the next source answer for its users.
//
// Names are compared in Unicode form NFKC, so that two spellings that look the same are one account; upper and lower
// case are different accounts, as in every htpasswd file. A password has at most [MaxPasswordBytes]; one longer than
// 72 bytes never matches a bcrypt hash, because bcrypt would compare its first 72 bytes only and accept any rest.
// Hashing is bounded: a [Hasher] runs few hashes at once, lets a bounded number wait and turns the rest away.
package identity
