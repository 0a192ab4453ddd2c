package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// TestSecretsOfOthers: every Secret that is missing is named with how to mend it, what runs goes on, and each that comes is
// taken up. What is mounted is only what is read.
func TestSecretsOfOthers(t *testing.T) {
	w := newWorld(t)
	ref := func(name string) keyturnv1alpha1.SecretReference { return keyturnv1alpha1.SecretReference{Name: name} }
	w.declare(onValkey, func(_ *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, tsvc *keyturnv1alpha1.TokenService) {
		hook, ca := ref("hook"), ref("ca")
		tsvc.Spec.Identity[0].SubjectPrefix = "staff:"
		tsvc.Spec.Identity = append(tsvc.Spec.Identity,
			keyturnv1alpha1.IdentitySource{Name: "app", SubjectPrefix: "app:", Webhook: &keyturnv1alpha1.WebhookSource{LoginURL: "https://app.example.com/check", SecretRef: &hook}},
			keyturnv1alpha1.IdentitySource{Name: "corp", SubjectPrefix: "corp:", OIDC: &keyturnv1alpha1.OIDCSource{IssuerURL: "https://login.example.com", ClientID: "shop", SecretRef: &ca}},
		)
		tsvc.Spec.Clients = []keyturnv1alpha1.ClientSpec{
			{ID: "orders", SecretRef: ref("orders"), Audiences: []string{"https://api.example.com"}},
			{ID: "billing", SecretRef: ref("orders"), Audiences: []string{"https://api.example.com"}},
		}
		tsvc.Spec.TLS = &keyturnv1alpha1.PublicTLS{SecretRef: ref("front")}
	})
	says := func(wanted ...string) func() string {
		return func() string {
			message := conditionMessage(w.service().Status.Conditions, "ResolvedRefs")
			for _, part := range wanted {
				if !strings.Contains(message, part) {
					return message + "\ndoes not say " + part
				}
			}
			if strings.Contains(message, "canary") {
				w.Fatalf("the message tells a secret: %s", message)
			}
			return want(w.service().Status.Conditions, "ResolvedRefs", "False RefNotFound", "Ready", "False RefNotFound")
		}
	}
	w.eventually("everything that is missing is named", says(
		`store: there is no Secret "store" in namespace `+w.ns+`: create it with one of the keys username, password`,
		`identity "app": there is no Secret "hook"`, `identity "corp": there is no Secret "ca" in namespace `+w.ns+`: create it with the key ca.crt`,
		`client "orders": there is no Secret "orders" in namespace `+w.ns+`: create it with the key secret`, `client "billing": there is`,
		`tls: there is no Secret "front" in namespace `+w.ns+`: create it with the keys tls.crt and tls.key`,
	))
	w.checkMounts()

	pem, err := newFeedServer("front.example.com", w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]map[string][]byte{
		"store": {"password": []byte("canary-store")}, "hook": {"token": []byte("canary-hook")},
		"orders": {"secret": []byte("canary-client")}, // too short
		"front":  {"tls.crt": pem["tls.crt"], "tls.key": pem["tls.key"]},
	} {
		w.create(&corev1.Secret{ObjectMeta: w.meta(name), Data: data})
	}
	w.eventually("what is left is named", says(`identity "corp": there is no Secret "ca"`, `client "orders": Secret "orders" has no key secret of 32 to 256 characters`))
	w.create(&corev1.Secret{ObjectMeta: w.meta("ca"), Data: map[string][]byte{"ca.crt": pem["tls.crt"]}})
	edit(w, &corev1.Secret{ObjectMeta: w.meta("orders")}, func(s *corev1.Secret) {
		s.Data = map[string][]byte{"secret": []byte("canary-of-32-characters-0123456789")}
	})
	w.eventually("settle", w.unhealthy)
}

// checkMounts holds the pods to the directories that the token service reads.
func (w *world) checkMounts() {
	w.Helper()
	var several appsv1.Deployment
	w.eventually("the Deployment is there", func() string {
		if !w.get(&several, "web-tokenservice") {
			return "none"
		}
		return ""
	})
	pod := several.Spec.Template.Spec
	for volume, files := range map[string][]string{
		"identity": {
			"users/staff/htpasswd", "users/staff/roles", "hook/app/token", "hook/app/ca.crt", "hook/app/tls.crt", "hook/app/tls.key", "ca/corp/ca.crt",
		},
		"clients": {"orders/billing/secret", "orders/orders/secret"},
		"tls":     {"front/tls.crt", "front/tls.key"},
	} {
		got := projected(&pod, volume)
		if volume == "clients" {
			slices.Sort(got)
		}
		if !slices.Equal(got, files) {
			w.Errorf("%s holds %v, want %v", volume, got, files)
		}
	}
	for _, wanted := range []string{"--client-dir=/etc/keyturn/clients", "--tls-dir=/etc/keyturn/tls"} {
		if !slices.Contains(pod.Containers[0].Args, wanted) {
			w.Errorf("no argument %s", wanted)
		}
	}
	var service corev1.Service
	w.get(&service, "web-tokenservice")
	if port := service.Spec.Ports[0]; len(service.Spec.Ports) != 1 || port.Name != "https" || *port.AppProtocol != "https" || port.Port != portPublic {
		w.Errorf("ports %+v", service.Spec.Ports)
	}
}

// TestSecretComplaints: each content that cannot work is named, and no byte of it is said.
func TestSecretComplaints(t *testing.T) {
	pair, err := newFeedServer("front.example.com", noon)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newFeedServer("front.example.com", noon)
	if err != nil {
		t.Fatal(err)
	}
	crt, key := pair["tls.crt"], pair["tls.key"]
	canary, long := []byte("canary"), []byte("0123456789abcdef0123456789abcdef")
	redis := func(tls bool) *keyturnv1alpha1.TokenService {
		tsvc := &keyturnv1alpha1.TokenService{}
		tsvc.Spec.Store.Redis = &keyturnv1alpha1.RedisStore{}
		if tls {
			tsvc.Spec.Store.Redis.TLS = &keyturnv1alpha1.RedisTLS{}
		}
		return tsvc
	}
	store := func(tsvc *keyturnv1alpha1.TokenService) func(map[string][]byte) string {
		return storeComplaint(tsvc, []string{keyUsername, keyPassword, keyAuthority, keyCertificate, keyPrivate})
	}
	front := func(at time.Time) func(map[string][]byte) string {
		return func(data map[string][]byte) string { return hasCertificate(data, at) }
	}
	type data = map[string][]byte
	for name, row := range map[string]struct {
		check func(map[string][]byte) string
		data  data
		says  string
	}{
		"users":                    {hasUsers, data{"htpasswd": canary}, ""},
		"no users":                 {hasUsers, data{"users": canary}, "has no key htpasswd"},
		"a client's secret":        {hasSecret, data{"secret": long}, ""},
		"a secret being changed":   {hasSecret, data{"secret": slices.Concat(long, []byte("\r\n"), long, []byte("\n"))}, ""},
		"a short secret":           {hasSecret, data{"secret": canary}, "32 to 256 characters"},
		"a short second one":       {hasSecret, data{"secret": slices.Concat(long, []byte("\n"), canary)}, "openssl rand -hex 32"},
		"three secrets":            {hasSecret, data{"secret": slices.Concat(long, []byte("\n"), long, []byte("\n"), long)}, "one line, or two"},
		"authorities":              {hasAuthority, data{"ca.crt": crt}, ""},
		"no authorities":           {hasAuthority, data{"tls.crt": crt}, "has no key ca.crt"},
		"authorities in DER":       {hasAuthority, data{"ca.crt": canary}, "put the authorities there in PEM"},
		"a certificate":            {front(noon), data{"tls.crt": crt, "tls.key": key}, ""},
		"a certificate alone":      {front(noon), data{"tls.crt": crt}, "use one of type kubernetes.io/tls"},
		"another's key":            {front(noon), data{"tls.crt": crt, "tls.key": other["tls.key"]}, "not one pair"},
		"an old certificate":       {front(noon.Add(2 * feedLifetime)), data{"tls.crt": crt, "tls.key": key}, "expired at 2029-"},
		"a password":               {store(redis(false)), data{"password": canary}, ""},
		"nothing for a store":      {store(redis(false)), data{"pass": canary}, "has none of the keys username, password"},
		"authorities, clear text":  {store(redis(false)), data{"password": canary, "ca.crt": crt}, "set store.redis.tls to {}"},
		"authorities, TLS":         {store(redis(true)), data{"ca.crt": crt}, ""},
		"half a pair for a store":  {store(redis(true)), data{"tls.key": key}, "only one of the keys tls.crt and tls.key"},
		"a wrong pair for a store": {store(redis(true)), data{"tls.crt": crt, "tls.key": canary}, "not one pair"},
	} {
		got := row.check(row.data)
		if (got == "") != (row.says == "") || !strings.Contains(got, row.says) || strings.Contains(got, "canary") {
			t.Errorf("%s: %q, want %q", name, got, row.says)
		}
	}
}

// TestStoreReason: what a token service says about its store is what people read.
func TestStoreReason(t *testing.T) {
	for reason, says := range map[string]string{
		"": "look at its volume or the store's server",
		"it forgets sessions and logouts when its memory is full: set maxmemory-policy noeviction": "answer 503; it forgets sessions",
	} {
		tsvc := &keyturnv1alpha1.TokenService{}
		conds := conditions{&tsvc.Status.Conditions, 1}
		signer := edgeAt(1)
		signer.signer, signer.status = true, &snapshot.Status{StoreReason: reason}
		storeCondition(conds, []replica{signer})
		if got := conds.find("StoreReachable"); got.Reason != "StoreUnavailable" || !strings.Contains(got.Message, says) {
			t.Errorf("%q: %s %s", reason, got.Reason, got.Message)
		}
	}
}
