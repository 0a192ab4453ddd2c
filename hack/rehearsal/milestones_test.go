//go:build realnode && linux

package rehearsal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// statusOf asks a pod by its internal port.
func statusOf(ctx context.Context, pod *corev1.Pod) (status snapshot.Status, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(pod.Status.PodIP, "9090")+"/status", nil)
	if err != nil {
		return status, err
	}
	response, err := insideNode.Do(request)
	if err != nil {
		return status, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// sessionOf reads the sid of an access token.
func sessionOf(t *testing.T, access string) string {
	t.Helper()
	var claims struct {
		SessionID string `json:"sid"`
	}
	parts := strings.Split(access, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil || claims.SessionID == "" {
		t.Fatalf("an access token without a session (error %v)", err)
	}
	return claims.SessionID
}

// milestones is what was seen of rings, documents and pods, and when.
type milestones struct {
	mu sync.Mutex
	// active is when a kid first was not the active one, buried when it was first seen to have left the ring for being revoked.
	active, buried map[string]time.Time
	// written is when a revocation's UID, or the absence of a kid, was first seen in a document, and in which revision.
	written map[string]document
	// last is when any pod was told of anything.
	last time.Time
	// told is when a pod was first told of that revision or a newer one, by component.
	told map[string][]telling
}

type document struct {
	at        time.Time
	component string
	revision  int64
}

type telling struct {
	at       time.Time
	revision int64
}

// watchRevocations watches until the test ends.
func watchRevocations(t *testing.T) *milestones {
	t.Helper()
	m := &milestones{active: map[string]time.Time{}, buried: map[string]time.Time{}, written: map[string]document{}, told: map[string][]telling{}}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	watching, err := client.NewWithWatch(theStage.Cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &corev1.PodList{}} {
		events, err := watching.Watch(t.Context(), list, client.InNamespace(stage.Namespace))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(events.Stop)
		go m.follow(events)
	}
	return m
}

func (m *milestones) follow(events watch.Interface) {
	for event := range events.ResultChan() {
		m.mu.Lock()
		switch object := event.Object.(type) {
		case *corev1.Secret:
			m.secret(object, time.Now())
		case *corev1.Pod:
			revision, _, _ := strings.Cut(object.Annotations[keyturnv1alpha1.AnnotationSnapshotRevision], " ")
			if number, err := strconv.ParseInt(revision, 10, 64); err == nil {
				component := object.Labels[keyturnv1alpha1.LabelComponent]
				m.last = time.Now()
				m.told[component] = append(m.told[component], telling{time.Now(), number})
			}
		}
		m.mu.Unlock()
	}
}

func (m *milestones) secret(secret *corev1.Secret, now time.Time) {
	first := func(of map[string]time.Time, kid string) {
		if _, known := of[kid]; !known {
			of[kid] = now
		}
	}
	note := func(what, component string, revision int64) {
		if _, known := m.written[what]; !known {
			m.written[what] = document{now, component, revision}
		}
	}
	switch raw := secret.Data["snapshot.json.gz"]; secret.Name {
	case keysecret.RingName(stage.KeySet):
		ring, err := keysecret.DecodeRing(secret, keysecret.Owner{Namespace: stage.Namespace, Name: stage.KeySet})
		if err != nil {
			return
		}
		for i := range ring.Keys {
			if ring.Keys[i].State == keys.Retiring {
				first(m.active, ring.Keys[i].KID)
			}
		}
		for _, stone := range ring.Tombstones {
			if stone.State == keys.Revoked {
				first(m.buried, stone.KID)
			}
		}
	case stage.Service + "-edge-snapshot":
		doc, err := snapshot.DecodeEdge(raw)
		for kid := range m.buried {
			if err == nil && !slices.ContainsFunc(doc.Keys.Keys, func(k snapshot.Key) bool { return k.KID == kid }) {
				note(kid, keyturnv1alpha1.ComponentEdge, doc.Revision)
			}
		}
	case stage.Service + "-issuer-snapshot":
		doc, err := snapshot.DecodeIssuer(raw)
		for _, entry := range doc.Revocations {
			if err == nil {
				note(entry.UID, keyturnv1alpha1.ComponentTokenService, doc.Revision)
			}
		}
	}
}

// calm waits until no pod was told of anything for a while.
func (m *milestones) calm(t *testing.T) {
	t.Helper()
	await(t, "it is calm", time.Minute, func(context.Context) (string, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if since := time.Since(m.last); since < calm {
			return fmt.Sprintf("a pod was told of something %s ago", since), nil
		}
		return "", nil
	})
}

// fill writes down what was seen of one revocation.
func (m *milestones) fill(t *testing.T, of *mark) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	what := string(of.rev.UID)
	if key := of.rev.Spec.Key; key != nil {
		what, of.changed, of.buried = key.Kid, m.active[key.Kid], m.buried[key.Kid]
	}
	doc := m.written[what]
	of.written = doc.at
	for _, told := range m.told[doc.component] {
		if told.revision >= doc.revision && of.told.IsZero() {
			of.told = told.at
		}
	}
	if of.written.IsZero() || of.told.IsZero() || of.rev.Spec.Key != nil && (of.changed.IsZero() || of.buried.IsZero()) {
		t.Errorf("%s: the watches have not seen all of it: %+v", of.rev.Name, of)
	}
}
