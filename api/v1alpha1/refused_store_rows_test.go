package v1alpha1_test

import (
	"fmt"
	"strings"
)

// onRedis is a patch with a Redis store and more of its fields; onPostgres likewise.
func onRedis(more string) string {
	return `{store: {redis: {addresses: ["a:6379"], ` + more + `}}}`
}

func onPostgres(more string) string {
	if !strings.Contains(more, "database:") {
		more = "database: k, " + more
	}
	return `{store: {postgres: {addresses: ["a:5432"], secretRef: {name: db}, ` + more + `}}}`
}

// onAddress is a patch with a Redis store at one address.
func onAddress(address string) string {
	return fmt.Sprintf(`{store: {redis: {addresses: [%q]}}}`, address)
}

// Parts of messages that several rows look for.
const (
	hintAddress = "an address must be host:port without a scheme"
	hintPort    = "use a port from 1 to 65535"
	hintMaster  = "masterName belongs to mode Sentinel, which needs it"
	hintSchema  = "schema may have a-z, 0-9 and _ only"
	hintClear   = "sslMode disable sends the password in clear text"
	hintOne     = "store needs exactly one store"
)

var storeRefusals = []refusal{
	{"two stores", `{store: {embedded: {}, redis: {addresses: ["a:6379"]}}}`, hintOne},
	{"two shared stores", `{store: {redis: {addresses: ["a:6379"]}, postgres: {addresses: ["a:5432"], database: k, secretRef: {name: db}}}}`, hintOne},
	{"redis without an address", `{store: {redis: {}}}`, "addresses: Required value"},
	{"redis with no address", `{store: {redis: {addresses: []}}}`, "should have at least 1 items"},
	{"redis, two standalone", `{store: {redis: {addresses: ["a:6379", "b:6379"]}}}`, "name one address, or set mode to Sentinel"},
	{"redis, 17 nodes", `{store: {redis: {mode: Cluster, addresses: [` + nodes(17) + `]}}}`, "must have at most 16 items"},
	{"redis, twice the same node", `{store: {redis: {mode: Cluster, addresses: ["a:6379", "a:6379"]}}}`, "Duplicate value"},
	{"redis of an unknown mode", onRedis(`mode: Ring`), `supported values: "Standalone", "Sentinel", "Cluster"`},
	{"redis by URL", onAddress("redis://a:6379"), hintAddress},
	{"redis with a password", onAddress("user:password@a:6379"), hintAddress},
	{"redis without a port", onAddress("valkey.data.svc"), hintAddress},
	{"redis without a host", onAddress(":6379"), hintAddress},
	{"redis with a path", onAddress("a:6379/0"), hintAddress},
	{"redis with a comma", onAddress("a,b:6379"), hintAddress},
	{"redis with a line end", onAddress("a:6379\n"), hintAddress},
	{"redis by IPv6 without brackets", onAddress("2001:db8::1:6379"), hintAddress},
	{"redis at port 0", onAddress("a:0"), hintPort},
	{"redis at port 65536", onAddress("a:65536"), hintPort},
	{"sentinels without a master", onRedis(`mode: Sentinel`), hintMaster},
	{"master without sentinels", onRedis(`masterName: mymaster`), hintMaster},
	{"master of a cluster", onRedis(`mode: Cluster, masterName: mymaster`), hintMaster},
	{"master of a bad name", onRedis(`mode: Sentinel, masterName: "my master"`), "take it from the line sentinel monitor"},
	{"redis database 16", onRedis(`database: 16`), "less than or equal to 15"},
	{"redis database below 0", onRedis(`database: -1`), "greater than or equal to 0"},
	{"database of a cluster", onRedis(`mode: Cluster, database: 1`), "a Redis Cluster has database 0 only"},
	{"redis prefix with a space", onRedis(`keyPrefix: "my shop:"`), "keyPrefix may have letters"},
	{"redis prefix with a hash tag", onRedis(`keyPrefix: "{shop}"`), "keyPrefix may have letters"},
	{"redis prefix of nothing", onRedis(`keyPrefix: ""`), "at least 1 chars long"},
	{"redis prefix too long", onRedis(`keyPrefix: ` + strings.Repeat("a", 129)), "may not be more than 128"},
	{"redis replicas below 0", onRedis(`minReplicas: -1`), "greater than or equal to 0"},
	{"six redis replicas", onRedis(`minReplicas: 6`), "less than or equal to 5"},
	{"redis of unknown durability", onRedis(`durability: None`), `supported values: "Strict", "Relaxed"`},
	{"redis secret in capitals", onRedis(`secretRef: {name: Store}`), "Names are in lower case"},
	{"redis TLS by a word", onRedis(`tls: "yes"`), "tls: Invalid value"},

	{"postgres without an address", `{store: {postgres: {database: k, secretRef: {name: db}}}}`, "addresses: Required value"},
	{"postgres with no address", `{store: {postgres: {addresses: [], database: k, secretRef: {name: db}}}}`, "should have at least 1 items"},
	{"nine postgres servers", `{store: {postgres: {addresses: [` + nodes(9) + `], database: k, secretRef: {name: db}}}}`, "must have at most 8 items"},
	{"postgres, twice the same server", `{store: {postgres: {addresses: ["a:5432", "a:5432"], database: k, secretRef: {name: db}}}}`, "name each server once"},
	{"postgres by URL", `{store: {postgres: {addresses: ["postgres://a:5432"], database: k, secretRef: {name: db}}}}`, hintAddress},
	{"postgres without a port", `{store: {postgres: {addresses: [a], database: k, secretRef: {name: db}}}}`, hintAddress},
	{"postgres at port 99999", `{store: {postgres: {addresses: ["a:99999"], database: k, secretRef: {name: db}}}}`, hintPort},
	{"postgres without a database", `{store: {postgres: {addresses: ["a:5432"], secretRef: {name: db}}}}`, "database: Required value"},
	{"postgres with options", onPostgres(`database: "k?sslmode=disable"`), "database must be the name of a database"},
	{"postgres with a long database", onPostgres(`database: ` + strings.Repeat("a", 64)), "may not be more than 63"},
	{"postgres without a secret", `{store: {postgres: {addresses: ["a:5432"], database: k}}}`, "secretRef: Required value"},
	{"schema in capitals", onPostgres(`schema: Keyturn`), hintSchema},
	{"schema of the system", onPostgres(`schema: pg_keyturn`), hintSchema},
	{"schema with a quote", onPostgres(`schema: 'a"b'`), hintSchema},
	{"schema with a digit first", onPostgres(`schema: 1st`), hintSchema},
	{"schema of information", onPostgres(`schema: information_schema`), hintSchema},
	{"long schema", onPostgres(`schema: ` + strings.Repeat("a", 64)), "may not be more than 63"},
	{"postgres of unknown durability", onPostgres(`durability: Full`), `supported values: "Strict", "Relaxed"`},
	{"unknown sslMode", onPostgres(`sslMode: prefer`), `supported values: "verify-full", "verify-ca", "require", "disable"`},
	{"clear text to the outside", `{store: {postgres: {addresses: ["db.example.com:5432"], database: k, sslMode: disable, secretRef: {name: db}}}}`, hintClear},
	{"clear text to an address", `{store: {postgres: {addresses: ["10.0.0.5:5432"], database: k, sslMode: disable, secretRef: {name: db}}}}`, hintClear},
	{"clear text to one of two", `{store: {postgres: {addresses: ["db.data.svc:5432", "db.svc.example.com:5432"], database: k, sslMode: disable, secretRef: {name: db}}}}`, hintClear},
}

func nodes(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf(`"node-%d:6379"`, i)
	}
	return strings.Join(all, ", ")
}
