// Package keysecret maps the keys of a set to the Kubernetes objects that hold them, and back:
//
//	Secret    <set>-ring        the ring: epoch, states, times, public keys, tombstones. The truth.
//	Secret    <set>-<sequence>  one private key each, immutable
//	ConfigMap <set>-jwks        the public keys, for people; no part of Keyturn reads it
//
// It is pure: objects in, values out, no client. Every object names inside its content the set it belongs to, and every
// read checks that, so that a Secret copied, renamed or swapped between namespaces is refused ([ReasonForeign]) and never
// believed. A kid is computed from the key it names; nothing that was edited passes ([ReasonInvalid]).
//
// Nothing here has an ownerReference: deleting a set must not take its keys along, unless its deletionPolicy says so.
package keysecret
