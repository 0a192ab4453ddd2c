// Package token mints and verifies Keyturn's access tokens, and reads and writes the keys for both.
//
//	            ┌ bound ─ split ─ base64url ─ JSON ┐   ┌ iss ─ exp ─ header ─ claims ┐   ┌ kid ─ alg ─ signature ┐
//	raw token ──┤   strict JOSE reading, ours      ├──▶│   cheap checks, ours        ├──▶│  standard library     ├──▶ Verified
//	            └ malformed_token, too_large       ┘   └ foreign, expired, invalid   ┘   └ unknown_key, bad_sig… ┘
//
// The specifications: JWS (RFC 7515), JWK (RFC 7517), the algorithms (RFC 7518, RFC 8037), JWT (RFC 7519), the key's
// thumbprint (RFC 7638), the profile of an access token (RFC 9068), and the best practices of RFC 8725.
//
// A token names its key by kid and can do nothing else about it: the algorithm is pinned to the key, no key and no
// address is ever taken from a token, and verifying does no I/O. Everything is read strictly before any library sees
// it, so that two readers can never understand one token differently: exact-case names, no duplicates at any depth,
// nothing after the value, canonical base64url.
//
// This is the only package that imports jwx, which parses keys and computes their thumbprints. Signatures are made and
// checked by the standard library.
package token
