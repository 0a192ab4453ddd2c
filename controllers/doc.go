// Package controllers turns the custom resources into Secrets and workloads, one reconciler a kind:
//
//	SigningKeySet ──observe──▶ keys.Next ──▶ key Secret ──▶ ring Secret ──▶ JWKS ConfigMap, status
//	TokenService  ──resolve──▶ Services ──▶ snapshot Secrets ──▶ workloads ──▶ replicas' /status ──▶ status
//	TokenPolicy   ──▶ status
//
// Every reconcile observes, plans, applies and reports, in this order. The decisions are made elsewhere, by pure
// functions ([github.com/keyturn/keyturn/internal/keys]); translate.go is the only place that knows both the API
// types and the domain. The ring Secret is the one commit point of a key's life: it is read live and written with the
// resourceVersion just read, never applied. All the rest is derived from it and can be lost at any time.
//
// What a replica has loaded is asked from the replica itself (replicas.go); no gate rests on what was written.
package controllers
