package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/url"
	"strconv"
	"strings"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// shared tells whether several token services may use the store at once.
func shared(tsvc *keyturnv1alpha1.TokenService) bool {
	return tsvc.Spec.Store.Redis != nil || tsvc.Spec.Store.Postgres != nil
}

// storeURL is the --store of the token service: where the store is and how to talk to it, without any credential. It is
// empty for the embedded store.
//
//	redis://HOST:PORT/DATABASE?address=…&durability=…&master=…&mode=…&prefix=…&replicas=…      (rediss: over TLS)
//	postgres://HOST:PORT,HOST:PORT/DATABASE?durability=…&schema=…&sslmode=…
//
// In Redis the first address is the URL's host and each further one an `address`.
func storeURL(tsvc *keyturnv1alpha1.TokenService) string {
	switch store := &tsvc.Spec.Store; {
	case store.Redis != nil:
		return redisURL(tsvc, store.Redis)
	case store.Postgres != nil:
		return postgresURL(tsvc, store.Postgres)
	}
	return ""
}

func redisURL(tsvc *keyturnv1alpha1.TokenService, redis *keyturnv1alpha1.RedisStore) string {
	if len(redis.Addresses) == 0 {
		return "" // the API server admits none such
	}
	replicas := int32(1)
	if redis.Mode == keyturnv1alpha1.RedisStandalone {
		replicas = 0
	}
	query := url.Values{
		"mode":       {strings.ToLower(string(redis.Mode))},
		"durability": {strings.ToLower(string(redis.Durability))},
		"replicas":   {strconv.Itoa(int(deref(redis.MinReplicas, replicas)))},
		"prefix":     {deref(redis.KeyPrefix, "keyturn/"+tsvc.Namespace+"/"+tsvc.Name)},
	}
	if further := redis.Addresses[1:]; len(further) > 0 {
		query["address"] = further
	}
	if redis.MasterName != nil {
		query.Set("master", *redis.MasterName)
	}
	at := url.URL{Scheme: "redis", Host: redis.Addresses[0], Path: "/" + strconv.Itoa(int(redis.Database)), RawQuery: query.Encode()}
	if redis.TLS != nil {
		at.Scheme = "rediss"
	}
	return at.String()
}

func postgresURL(tsvc *keyturnv1alpha1.TokenService, postgres *keyturnv1alpha1.PostgresStore) string {
	query := url.Values{
		"sslmode": {string(postgres.SSLMode)},
		"schema":  {deref(postgres.Schema, schemaOf(tsvc))},
	}
	if postgres.Durability == keyturnv1alpha1.DurabilityRelaxed {
		query.Set("durability", "relaxed")
	}
	at := url.URL{Scheme: "postgres", Host: strings.Join(postgres.Addresses, ","), Path: "/" + postgres.Database, RawQuery: query.Encode()}
	return at.String()
}

// inTheSpec says in the words of the spec what a token service says about its store in the words of its flags.
func inTheSpec(reason string) string {
	return strings.NewReplacer(
		"durability=relaxed in the store's URL", "durability Relaxed in spec.store",
		"replicas=1 in the store's URL", "minReplicas 1 in spec.store",
		"mode=sentinel", "mode Sentinel", "the store's URL", "spec.store",
		"the store directory", "the store's Secret", "the store's directory", "the store's Secret",
	).Replace(reason)
}

// maxIdentifier is how long a name in PostgreSQL may be, in bytes.
const maxIdentifier = 63

// schemaOf is the schema of a TokenService that names none: readable, and its own by the digest at its end, since the
// readable part leaves out what a name in PostgreSQL cannot have.
func schemaOf(tsvc *keyturnv1alpha1.TokenService) string {
	sum := sha256.Sum256([]byte(tsvc.Namespace + "/" + tsvc.Name))
	digest := "_" + hex.EncodeToString(sum[:4])
	readable := strings.ReplaceAll("keyturn_"+tsvc.Namespace+"_"+tsvc.Name, "-", "_")
	return readable[:min(len(readable), maxIdentifier-len(digest))] + digest
}

// The port on which Redis servers are, whose addresses the Sentinels tell.
const portRedis = 6379

// outside is where a token service calls: hosts and ports as the specs name them. Sentinels and Clusters tell of further
// servers, and a provider of OpenID Connect may have its keys elsewhere; they are expected on the ports in use.
func outside(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout) []address {
	var all []address
	if redis := tsvc.Spec.Store.Redis; redis != nil {
		all = append(all, addresses(redis.Addresses)...)
		if redis.Mode == keyturnv1alpha1.RedisSentinel {
			for _, sentinel := range addresses(redis.Addresses) {
				all = append(all, address{sentinel.host, portRedis})
			}
		}
	}
	if postgres := tsvc.Spec.Store.Postgres; postgres != nil {
		all = append(all, addresses(postgres.Addresses)...)
	}
	for _, source := range tsvc.Spec.Identity {
		if hook := source.Webhook; hook != nil {
			all = append(all, addressOf(hook.LoginURL)...)
			all = append(all, addressOf(deref(hook.LookupURL, ""))...)
		}
		if source.OIDC != nil {
			all = append(all, addressOf(source.OIDC.IssuerURL)...)
		}
	}
	for _, party := range legacyParties(aro) {
		all = append(all, addressOf(party.url)...)
	}
	return all
}

// address is a host and a port.
type address struct {
	host string
	port int32
}

// namespace is the namespace of a Service of this cluster, empty for any other host. A name without a dot is one of own.
func (a address) namespace(own string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(a.host, ".cluster.local"), ".svc")
	labels := strings.Split(name, ".")
	switch {
	case net.ParseIP(a.host) != nil, a.host == "localhost":
		return ""
	case len(labels) == 1 && name == a.host:
		return own
	case name == a.host || len(labels) < 2:
		return ""
	}
	return labels[len(labels)-1] // SERVICE.NAMESPACE or POD.SERVICE.NAMESPACE
}

func addresses(texts []string) []address {
	var out []address
	for _, text := range texts {
		host, port, err := net.SplitHostPort(text)
		number, notPort := strconv.ParseUint(port, 10, 16)
		if err == nil && notPort == nil {
			out = append(out, address{host, int32(number)})
		}
	}
	return out
}

func addressOf(text string) []address {
	at, err := url.Parse(text)
	if err != nil || at.Hostname() == "" {
		return nil
	}
	port := at.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80", "redis": "6379", "rediss": "6379"}[at.Scheme]
	}
	return addresses([]string{net.JoinHostPort(at.Hostname(), port)})
}
