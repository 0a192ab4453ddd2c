package controllers

import (
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/store/postgres"
	"github.com/keyturn/keyturn/internal/store/redis"
)

// TestStoreURL: what the spec says arrives at the token service, and no credential does.
func TestStoreURL(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web"}
	secret := keyturnv1alpha1.SecretReference{Name: "store"}
	for name, row := range map[string]struct {
		store keyturnv1alpha1.StoreSpec
		want  string
	}{
		"embedded": {keyturnv1alpha1.StoreSpec{Embedded: &keyturnv1alpha1.EmbeddedStore{}}, ""},
		"redis": {
			keyturnv1alpha1.StoreSpec{Redis: &keyturnv1alpha1.RedisStore{
				Mode: "Standalone", Addresses: []string{"valkey.data.svc:6379"}, Durability: "Strict", SecretRef: &secret,
			}},
			"redis://valkey.data.svc:6379/0?durability=strict&mode=standalone&prefix=keyturn%2Fshop%2Fweb&replicas=0",
		},
		"redis, everything": {
			keyturnv1alpha1.StoreSpec{Redis: &keyturnv1alpha1.RedisStore{
				Mode: "Sentinel", Addresses: []string{"[2001:db8::1]:26379", "b:26379", "c:26379"}, MasterName: new("mymaster"), Database: 3,
				KeyPrefix: new("shop"), TLS: &keyturnv1alpha1.RedisTLS{}, MinReplicas: new(int32(2)), Durability: "Relaxed",
			}},
			"rediss://[2001:db8::1]:26379/3?address=b%3A26379&address=c%3A26379&durability=relaxed&master=mymaster&mode=sentinel&prefix=shop&replicas=2",
		},
		"redis cluster": {
			keyturnv1alpha1.StoreSpec{Redis: &keyturnv1alpha1.RedisStore{Mode: "Cluster", Addresses: []string{"a:1", "b:2"}, Durability: "Strict"}},
			"redis://a:1/0?address=b%3A2&durability=strict&mode=cluster&prefix=keyturn%2Fshop%2Fweb&replicas=1",
		},
		"postgres": {
			keyturnv1alpha1.StoreSpec{Postgres: &keyturnv1alpha1.PostgresStore{Addresses: []string{"a:5432", "[::1]:5433"}, Database: "my-db", SSLMode: "verify-full", Durability: "Strict", SecretRef: secret}},
			"postgres://a:5432,[::1]:5433/my-db?schema=keyturn_shop_web_" + digestOf([]byte("shop/web"))[:8] + "&sslmode=verify-full",
		},
		"postgres, everything": {
			keyturnv1alpha1.StoreSpec{Postgres: &keyturnv1alpha1.PostgresStore{Addresses: []string{"a:5432"}, Database: "k", Schema: new("own"), SSLMode: "disable", Durability: "Relaxed", SecretRef: secret}},
			"postgres://a:5432/k?durability=relaxed&schema=own&sslmode=disable",
		},
	} {
		tsvc := &keyturnv1alpha1.TokenService{ObjectMeta: meta, Spec: keyturnv1alpha1.TokenServiceSpec{Store: row.store}}
		got := storeURL(tsvc)
		if got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, row.want)
		}
		if strings.Contains(got, "@") || strings.Contains(got, "$(") {
			t.Errorf("%s: it holds a credential, or what Kubernetes would expand: %s", name, got)
		}
		if row.store.Postgres != nil {
			opened, err := postgres.Open(postgres.Config{URL: got, Dir: t.TempDir()})
			if err != nil {
				t.Errorf("%s: the token service refuses it: %v", name, err)
			} else if err := opened.Close(); err != nil {
				t.Error(err)
			}
		}
		if row.store.Redis == nil {
			continue
		}
		read, err := redis.ParseURL(got, dirStore, "")
		if err != nil {
			t.Errorf("%s: the token service refuses it: %v", name, err)
		}
		if want := len(row.store.Redis.Addresses); len(read.Addresses) != want || read.TLS != (row.store.Redis.TLS != nil) || read.DB != int(row.store.Redis.Database) {
			t.Errorf("%s: read as %+v", name, read)
		}
	}
}

// TestSchemas: every TokenService has its own, whatever its name.
func TestSchemas(t *testing.T) {
	form, seen := regexp.MustCompile(`^keyturn_[a-z0-9_]+_[0-9a-f]{8}$`), map[string]string{}
	for _, name := range [][2]string{
		{"shop", "web"}, {"shop-web", "a"}, {"shop", "web-a"}, {strings.Repeat("n", 63), strings.Repeat("s", 40)},
		{strings.Repeat("n", 63), strings.Repeat("s", 39) + "t"}, {"1", "a"},
	} {
		schema := schemaOf(&keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Namespace: name[0], Name: name[1]}})
		if !form.MatchString(schema) || len(schema) > maxIdentifier {
			t.Errorf("%v: schema %q of %d characters", name, schema, len(schema))
		}
		if other := seen[schema]; other != "" {
			t.Errorf("%v has the schema of %s", name, other)
		}
		seen[schema] = name[0] + "/" + name[1]
	}
}

func TestStoreReasonInTheSpec(t *testing.T) {
	got := inTheSpec("it answers before a logout is on disk: set appendfsync always, set replicas=1 in the store's URL for a server with replicas, or set durability=relaxed in the store's URL")
	if want := "it answers before a logout is on disk: set appendfsync always, set minReplicas 1 in spec.store for a server with replicas, or set durability Relaxed in spec.store"; got != want {
		t.Errorf("it says %q", got)
	}
}
