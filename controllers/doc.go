// Package controllers turns the custom resources into Secrets and workloads, one reconciler a kind:
//
//	SigningKeySet ──observe──▶ keys.Next ──▶ key Secret ──▶ ring Secret ──▶ JWKS ConfigMap, status
//	TokenService  ──resolve──▶ Services ──▶ snapshot Secrets ──▶ workloads ──▶ replicas' /status ──▶ status
//	AuthRollout   ──observe──▶ rollout.Next ──▶ status ──▶ (TokenService) snapshot Secrets
//	TokenPolicy   ──▶ status
//
// Every reconcile observes, plans, applies and reports, in this order. The decisions are made elsewhere, by pure
// functions ([github.com/keyturn/keyturn/internal/keys], [github.com/keyturn/keyturn/internal/rollout]); translate*.go are the
// only places that know both the API types and the domain. The ring Secret is the one commit point of a key's life: it is read live and written with the
// resourceVersion just read, never applied. All the rest is derived from it and can be lost at any time.
//
// # Which key is the set's
//
// Whoever may write Secrets in the namespace can write one that looks like a key or like the ring; only the manager can
// write the status. So the status names a key before anything else has it:
//
//	status names the kid ──▶ key Secret ──▶ ring names it ──▶ status has the ring's digest ──▶ documents
//
// A private half that the status does not name is passed over and left where it is, and a ring that names a key that the
// status does not name is rebuilt; each with a Warning Event. A manager may be killed before, during or after any of these writes:
// a kid without a Secret is forgotten once the ring has gone past its number, a Secret without a ring is taken up, and a ring
// without a digest is recognized by its kids. Two managers see each other's kids, and a status that is not the newest
// is no ground to rebuild anything. The one thing without a witness is a ring that was there before the set was: it is
// adopted, as a set re-created under its name needs, and that is a Warning Event too.
//
// What a replica has loaded is asked from the replica itself (replicas.go); no gate rests on what was written.
//
// # Who does not answer
//
// One object's replicas must not hold up another object. All that a reconcile asks are asked side by side (asking.go); who let its
// time go by is asked less and less often, and confirms nothing meanwhile (silences.go); who is waited for long is looked at less
// often (pace.go); and every kind that asks anybody has several workers (setup.go). Where a key leaks everybody is asked always.
package controllers
