// Package tokentest forges access tokens: hostile ones that nothing may accept, and unusual ones that are within the
// specifications and must be accepted.
//
// The tables are built around a key and a [Setting], so that each case runs for every algorithm, against the verifier
// itself, against the edge's two protocols, and through a real proxy. Each hostile case is wrong in one thing only and is
// signed by the real key wherever the attack does not lie in the signature: without the one check that it names, it
// would be accepted. Each tells the RFC section that forbids it or the CVE in which somebody's verifier fell for it.
//
// It signs by itself, with the standard library, and does not import the package that it tests. For tests only.
package tokentest
