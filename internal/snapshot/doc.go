// Package snapshot is what the control plane tells the data plane: two versioned documents, their files and their
// holder.
//
//	CRs ──▶ controllers ──▶ issuer snapshot ──▶ Secret ──▶ mounted file ──▶ tokenservice
//	                   └──▶ edge snapshot   ──▶ Secret ──▶ mounted file ──▶ extauthz
//
// The [Issuer] document carries the private half of the Active key and nothing more of the private keys; the [Edge]
// document carries public keys only. Both are JSON, plain or gzip-compressed (the first two bytes tell), and need no
// Kubernetes: a file written by hand works just as well. docs/snapshot-format.md describes every field with an example.
//
// A reader decodes a document fully and strictly, checks it, and then swaps one pointer ([Holder]); a bad document
// is refused, counted and reported in [Status], and the last good one stays. The epoch of the key ring never falls.
package snapshot
