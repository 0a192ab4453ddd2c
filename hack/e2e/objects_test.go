package e2e

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

type ringView = keys.Ring

func fixed(name string) func() string { return func() string { return name } }

func named(o client.Object, name string) client.Object {
	o.SetNamespace(stage.Namespace)
	o.SetName(name)
	return o
}

func secret(name func() string) func() client.Object {
	return func() client.Object { return named(&corev1.Secret{}, name()) }
}

func configMap(name string) func() client.Object {
	return func() client.Object { return named(&corev1.ConfigMap{}, name) }
}

func deployment() client.Object { return named(&appsv1.Deployment{}, stage.Service+"-extauthz") }

func statefulSet() client.Object { return named(&appsv1.StatefulSet{}, stage.Service+"-tokenservice") }

// data edits the content of a Secret.
func data(edit func(map[string][]byte)) func(client.Object) {
	return func(o client.Object) { edit(o.(*corev1.Secret).Data) }
}

func garbage(d map[string][]byte) { d["snapshot.json.gz"] = []byte("not a snapshot") }

func withoutKeys(d map[string][]byte) {
	doc, err := snapshot.DecodeEdge(d["snapshot.json.gz"])
	if err != nil {
		panic(err)
	}
	doc.Keys.Keys = nil
	if d["snapshot.json.gz"], err = snapshot.EncodeEdge(doc); err != nil {
		panic(err)
	}
}

func states(all []keys.Key) string {
	var out []string
	for _, k := range all {
		out = append(out, fmt.Sprintf("%.8s %s", k.KID, k.State))
	}
	return strings.Join(out, ", ")
}

func payload(jwt string) string { return strings.Split(jwt, ".")[1] }
