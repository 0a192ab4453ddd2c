package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// StoreSpec is a union: exactly one store is present, and it stays of that
// kind.
// +kubebuilder:validation:XValidation:rule="[has(self.embedded), has(self.redis), has(self.postgres)].exists_one(x, x)",message="store needs exactly one store: set embedded: {}, or remove store to get that by default, or set redis or postgres alone"
// +kubebuilder:validation:XValidation:rule="has(self.embedded) == has(oldSelf.embedded) && has(self.redis) == has(oldSelf.redis) && has(self.postgres) == has(oldSelf.postgres)",reason=FieldValueInvalid,message="the kind of store cannot be changed, because every login and every revocation is in the one there is: put it back, or create a second TokenService with the other store and move the ingress over (its users log in again)"
type StoreSpec struct {
	// embedded keeps everything in one file on a volume, written to disk before
	// each answer. It needs nothing else and allows one replica: a restart is a
	// gap of seconds for login, refresh and logout, while verification goes on.
	// +optional
	Embedded *EmbeddedStore `json:"embedded,omitempty"`

	// redis keeps everything in a Redis or Valkey server, which several replicas
	// share. The server must keep what it is told: persistence on, eviction off
	// (maxmemory-policy noeviction).
	// +optional
	Redis *RedisStore `json:"redis,omitempty"`

	// postgres keeps everything in a schema of a PostgreSQL database, which
	// several replicas share.
	// +optional
	Postgres *PostgresStore `json:"postgres,omitempty"`
}

// EmbeddedStore is the file store and its volume.
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",fieldPath=".storageClassName",reason=FieldValueInvalid,message="storageClassName cannot be changed once the volume exists: put it back, or create a second TokenService (its users log in again)"
type EmbeddedStore struct {
	// size of the volume. It cannot be changed here once the volume exists; grow
	// the PersistentVolumeClaim itself. Default 1Gi; 16Mi to 1Ti.
	// +optional
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('16Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Ti')) <= 0",message="size must be a quantity from 16Mi to 1Ti, such as 1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity(string(oldSelf))) == 0",message="size cannot be changed here once the volume exists: put it back, and grow the PersistentVolumeClaim itself with kubectl edit pvc"
	Size resource.Quantity `json:"size,omitzero"`

	// storageClassName of the volume, which must be ReadWriteOnce or narrower.
	// Default: the cluster's default class. It cannot be changed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// RedisMode says how the servers work together.
// +kubebuilder:validation:Enum=Standalone;Sentinel;Cluster
type RedisMode string

const (
	// RedisStandalone is one server, or one name behind which a primary is.
	RedisStandalone RedisMode = "Standalone"
	// RedisSentinel asks Sentinels which server is the primary.
	RedisSentinel RedisMode = "Sentinel"
	// RedisCluster is a Redis Cluster.
	RedisCluster RedisMode = "Cluster"
)

// StoreDurability says what an answer waits for.
// +kubebuilder:validation:Enum=Strict;Relaxed
type StoreDurability string

const (
	// DurabilityStrict refuses a server that may forget what it has acknowledged.
	DurabilityStrict StoreDurability = "Strict"
	// DurabilityRelaxed takes any server.
	DurabilityRelaxed StoreDurability = "Relaxed"
)

// RedisStore says where the Redis or Valkey servers are and how to talk to
// them.
// +kubebuilder:validation:XValidation:rule="self.mode != 'Standalone' || self.addresses.size() == 1",fieldPath=".addresses",reason=FieldValueInvalid,message="mode Standalone has one server: name one address, or set mode to Sentinel (the addresses of the Sentinels) or Cluster (some of its nodes)"
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Sentinel') == has(self.masterName)",fieldPath=".masterName",reason=FieldValueInvalid,message="masterName belongs to mode Sentinel, which needs it: set it to the name that the Sentinels monitor, such as mymaster, or remove it with another mode"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Cluster' || self.database == 0",fieldPath=".database",reason=FieldValueInvalid,message="a Redis Cluster has database 0 only: remove database"
// +kubebuilder:validation:XValidation:rule="has(self.keyPrefix) == has(oldSelf.keyPrefix) && (!has(self.keyPrefix) || self.keyPrefix == oldSelf.keyPrefix)",fieldPath=".keyPrefix",reason=FieldValueInvalid,message="keyPrefix cannot be changed, because every login and every revocation is under the one there is: put it back, or create a second TokenService (its users log in again)"
type RedisStore struct {
	// mode says how the servers work together. Standalone (default) is one server;
	// Sentinel asks the Sentinels for the primary; Cluster is a Redis Cluster.
	// +optional
	// +default="Standalone"
	Mode RedisMode `json:"mode,omitempty"`

	// addresses of the server (Standalone), of the Sentinels, or of some nodes of
	// the Cluster, host:port each, such as valkey.data.svc:6379. 1 to 16.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]]):[0-9]{1,5}$')",message="an address must be host:port without a scheme, such as valkey.data.svc:6379, or [2001:db8::1]:6379: mend it"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches(':(0+|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})$')",message="the address has a port that cannot be: use a port from 1 to 65535, such as 6379"
	Addresses []string `json:"addresses"`

	// masterName is the name under which the Sentinels know the primary, such as
	// mymaster. Only with mode Sentinel, which needs it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+$')",message="masterName may have letters, digits and . _ - only, such as mymaster: take it from the line sentinel monitor of the Sentinels' configuration"
	MasterName *string `json:"masterName,omitempty"`

	// database is the number given to SELECT. It cannot be changed. Default 0; 0
	// to 15; 0 with mode Cluster.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=15
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="database cannot be changed, because every login and every revocation is in the one there is: put it back, or create a second TokenService (its users log in again)"
	Database int32 `json:"database"`

	// keyPrefix is what every key begins with, in braces, which keeps two
	// TokenServices on one server apart (and together on one shard). It cannot be
	// changed. Default: keyturn/NAMESPACE/NAME of this TokenService, so one that is
	// created again under its name finds its logins. At most 128 characters:
	// letters, digits and . _ : / -
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._:/-]+$')",message="keyPrefix may have letters, digits and . _ : / - only, such as shop"
	KeyPrefix *string `json:"keyPrefix,omitempty"`

	// tls talks TLS to the servers, Sentinels included: tls: {}. The authorities
	// are those of the key ca.crt of the Secret, or of the system. Without it
	// passwords travel in clear text.
	// +optional
	TLS *RedisTLS `json:"tls,omitempty"`

	// secretRef names a Secret of this namespace; each of its keys is optional:
	// username and password for the servers, sentinel-password for the Sentinels,
	// ca.crt with the authorities that are trusted, tls.crt and tls.key to show to
	// the servers.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// minReplicas is how many replicas of the server must have acknowledged a
	// logout or another revocation before it is answered, so that one failover
	// cannot lose it. Default 0 with mode Standalone, 1 otherwise; 0 to 5.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// durability says what the server must promise. Strict (default) refuses one
	// that evicts keys, has no append-only file, or (with minReplicas 0) does not
	// write it before each answer. Relaxed takes it: a logout may be forgotten, and
	// everybody may have to log in again.
	// +optional
	// +default="Strict"
	Durability StoreDurability `json:"durability,omitempty"`
}

// RedisTLS being there says that TLS is spoken.
type RedisTLS struct{}

// PostgresSSLMode is libpq's sslmode.
// +kubebuilder:validation:Enum=verify-full;verify-ca;require;disable
type PostgresSSLMode string

const (
	// SSLVerifyFull checks the certificate and the name in it.
	SSLVerifyFull PostgresSSLMode = "verify-full"
	// SSLVerifyCA checks the certificate and not the name in it.
	SSLVerifyCA PostgresSSLMode = "verify-ca"
	// SSLRequire talks TLS to anybody.
	SSLRequire PostgresSSLMode = "require"
	// SSLDisable talks clear text.
	SSLDisable PostgresSSLMode = "disable"
)

// PostgresStore says where the PostgreSQL servers are and how to talk to them.
// +kubebuilder:validation:XValidation:rule="self.sslMode != 'disable' || self.addresses.all(a, a.matches('^(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]]|[a-z0-9]([-a-z0-9]*[a-z0-9])?|[a-z0-9]([-a-z0-9.]*[a-z0-9])?[.]svc([.]cluster[.]local)?):'))",fieldPath=".sslMode",reason=FieldValueInvalid,message="sslMode disable sends the password in clear text, so it is for loopback hosts and Services of this cluster (NAME.NAMESPACE.svc) only: use verify-full, with ca.crt in the Secret if the server's authority is your own"
// +kubebuilder:validation:XValidation:rule="has(self.schema) == has(oldSelf.schema) && (!has(self.schema) || self.schema == oldSelf.schema)",fieldPath=".schema",reason=FieldValueInvalid,message="schema cannot be changed, because every login and every revocation is in the one there is: put it back, or create a second TokenService (its users log in again)"
type PostgresStore struct {
	// addresses of the servers, host:port each, such as db.data.svc:5432. They are
	// tried in this order until one takes writes, so a primary and its standbys
	// can be named. 1 to 8.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]]):[0-9]{1,5}$')",message="an address must be host:port without a scheme, such as db.data.svc:5432, or [2001:db8::1]:5432: mend it"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches(':(0+|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})$')",message="the address has a port that cannot be: use a port from 1 to 65535, such as 5432"
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a == b))",message="an address is there twice: name each server once"
	Addresses []string `json:"addresses"`

	// database is the name of the database. It must exist, and it cannot be
	// changed. At most 63 characters: letters, digits and _ . -
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.-]+$')",message="database must be the name of a database: letters, digits and _ . - only, such as keyturn"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="database cannot be changed, because every login and every revocation is in the one there is: put it back, or create a second TokenService (its users log in again)"
	Database string `json:"database"`

	// schema holds the tables, which keeps two TokenServices in one database
	// apart. It is made if the user may do so, and cannot be changed. Default: a
	// name made of namespace and name of this TokenService, such as
	// keyturn_demo_web_1f0c6e72, so one that is created again under its name finds
	// its logins. At most 63 characters: a-z, 0-9 and _
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z_][a-z0-9_]*$') && !self.startsWith('pg_') && self != 'information_schema'",message="schema may have a-z, 0-9 and _ only, does not begin with a digit or pg_, and is not information_schema, such as keyturn: rename it"
	Schema *string `json:"schema,omitempty"`

	// sslMode is libpq's sslmode. verify-full (default) checks the server's
	// certificate and name; verify-ca not the name; require neither; disable is
	// clear text, for loopback hosts and Services of this cluster only.
	// +optional
	// +default="verify-full"
	SSLMode PostgresSSLMode `json:"sslMode,omitempty"`

	// durability says what the server must promise. Strict (default) refuses one
	// that does not flush (fsync=off); Relaxed takes it: a logout may be forgotten,
	// and everybody may have to log in again.
	// +optional
	// +default="Strict"
	Durability StoreDurability `json:"durability,omitempty"`

	// secretRef names a Secret of this namespace; each of its keys is optional:
	// username (otherwise keyturn) and password, ca.crt with the authorities that
	// are trusted, tls.crt and tls.key to show to the server.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}
