// Package token mints and verifies Keyturn's access tokens, and reads and writes the keys for both.
//
//	            ┌ bound ─ split ─ base64url ─ JSON ┐   ┌ iss ─ exp ─ header ─ claims ┐   ┌ kid ─ alg ─ signature ┐
//	raw token ──┤   strict JOSE reading, ours      ├──▶│   cheap checks, ours        ├──▶│  standard library     ├──▶ Verified
//	            └ too_large, malformed_token, …    ┘   └ foreign, expired, invalid   ┘   └ unknown_key, bad_sig… ┘
//
// The specifications: JWS (RFC 7515), JWK (RFC 7517), the algorithms (RFC 7518, RFC 8037), JWT (RFC 7519), the key's
// thumbprint (RFC 7638), the profile of an access token (RFC 9068), and the best practices of RFC 8725.
//
// A token names its key by kid and can do nothing else about it: the algorithm is pinned to the key, no key and no
// address is ever taken from a token, and verifying does no I/O. Everything is read strictly before any library sees
// it, so that two readers can never understand one token differently: exact-case names of printable ASCII, no duplicates at
// any depth, nothing before or after the object, canonical base64url, no number that not every reader can hold, no control
// characters in what identifies anybody, at most [MaxBytes]. Every refusal has a reason (policy.Reason), and one that needs
// no signature to be seen costs none.
//
// What is stricter than the specifications, because the only tokens that it must read are its own: a NumericDate is an
// integer, `typ` is compared with its case, a segment begins and ends with its brace, the members that name keys,
// certificates, compression or encryption are refused rather than ignored.
//
// Package tokentest has the tokens that all this is tested with.
//
// This is the only package that imports jwx, which parses keys and computes their thumbprints. Signatures are made and
// checked by the standard library.
package token
