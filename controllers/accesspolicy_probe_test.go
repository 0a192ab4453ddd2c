package controllers

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/probe"
)

// gate is an ingress with an edge: it answers as one whose route is guarded by a policy, or does what a test says.
type gate struct {
	*httptest.Server
	w      *world
	policy string
	stance atomic.Value // probe.Stance
	open   atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int32
}

func (w *world) newGate(policy string, secure bool) *gate {
	g := &gate{w: w, policy: w.ns + "/" + policy}
	g.stance.Store(probe.Refuses)
	if secure {
		g.Server = httptest.NewTLSServer(g)
	} else {
		g.Server = httptest.NewServer(g)
	}
	w.Cleanup(g.Close)
	return g
}

// opens makes the ingress answer by itself from now on; nil: it asks the edge again.
func (g *gate) opens(by http.HandlerFunc) {
	if by == nil {
		g.open.Store(nil)
		return
	}
	g.open.Store(&by)
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked.Add(1)
	if by := g.open.Load(); by != nil {
		(*by)(w, r)
		return
	}
	challenge := "Bearer"
	var secret corev1.Secret
	if err := admin.Get(r.Context(), client.ObjectKey{Namespace: g.w.ns, Name: serviceName + "-feed-client"}, &secret); err == nil {
		key, err := probe.NewKey(secret.Data[feedToken])
		nonce, is := key.Read(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), g.policy, g.w.clock.Now())
		if err == nil && is {
			challenge = "Bearer " + key.Answer(nonce, g.policy, g.stance.Load().(probe.Stance))
		}
	}
	w.Header().Set("X-Keyturn-Decision", "abc-1")
	w.Header().Set("X-Keyturn-Code", "invalid_token")
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
}

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, "SECRET")
	}
}

func probing(at string, interval time.Duration) func(*keyturnv1alpha1.AccessPolicySpec) {
	return func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.Probe = &keyturnv1alpha1.AccessProbe{URL: at, Interval: metav1.Duration{Duration: interval}}
	}
}

// enforcedIs waits for the condition, and wants words in its message.
func (w *world) enforcedIs(name string, status metav1.ConditionStatus, reason, words string) {
	w.Helper()
	w.eventually(reason+" with the words", func() string { // the verdict before may have had the same reason
		c := w.accessSays(name, keyturnv1alpha1.ConditionEnforced, status, reason)
		if strings.Contains(c.Message, "SECRET") {
			w.Fatalf("%s: %q", reason, c.Message)
		}
		if !strings.Contains(c.Message, words) {
			return c.Message
		}
		return ""
	})
}

// TestProbes follows a policy through everything that an ingress can do.
func TestProbes(t *testing.T) {
	w := newWorld(t)
	serving(w)
	g := w.newGate("orders", false)
	w.create(w.newAccess("orders", probing(g.URL+"/orders", 10*time.Minute)))
	w.enforcedIs("orders", metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed, g.URL+"/orders: the ingress asked this policy, which refused")
	if at := w.access("orders").Status.ProbedTime; !at.Time.Equal(w.clock.Now()) {
		t.Errorf("probed at %s, it is %s", at, w.clock.Now())
	}
	asked := g.asked.Load()
	if asked != 3 {
		t.Errorf("%d requests, want 3", asked)
	}
	g.opens(answering(200))
	w.step(9 * time.Minute) // too soon
	w.step(time.Minute)
	w.enforcedIs("orders", metav1.ConditionFalse, keyturnv1alpha1.ReasonNotEnforced, "answered 200: the ingress does not ask the edge, the route is OPEN")
	if got := g.asked.Load() - asked; got != 1 {
		t.Errorf("%d requests to a route that is open, want 1, once the interval is over", got)
	}
	w.eventSaid("orders", keyturnv1alpha1.ReasonNotEnforced, "OPEN")
	for _, row := range []struct {
		by     http.HandlerFunc
		stance probe.Stance
		status metav1.ConditionStatus
		reason string
		words  string
	}{
		{answering(404), probe.Refuses, metav1.ConditionFalse, keyturnv1alpha1.ReasonNotEnforced, "404, and not by Keyturn"},
		{answering(502), probe.Refuses, metav1.ConditionUnknown, keyturnv1alpha1.ReasonProbeFailed, "answered 502"},
		{nil, probe.Audits, metav1.ConditionFalse, keyturnv1alpha1.ReasonAuditOnly, "mode is Audit"},
	} {
		g.stance.Store(row.stance)
		g.opens(row.by)
		w.step(time.Minute) // sooner, while not all is well
		w.enforcedIs("orders", row.status, row.reason, row.words)
	}
	g.stance.Store(probe.Anonymous)
	w.step(10 * time.Minute)
	w.enforcedIs("orders", metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed, "was not sent")

	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.Probe.URL = g.URL + "/other" }) // at once
	w.enforcedIs("orders", metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed, "/other: ")
	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.Probe = nil })
	w.enforcedIs("orders", metav1.ConditionUnknown, keyturnv1alpha1.ReasonNotProbed, "set spec.probe.url")
	if at := w.access("orders").Status.ProbedTime; !at.IsZero() {
		t.Errorf("still: probed at %s", at)
	}
}

// TestProbesElsewhere: another policy at the address, an address that is not asked, certificates, and a second manager.
func TestProbesElsewhere(t *testing.T) {
	w := newWorld(t)
	serving(w)
	others := w.newGate("shop", false)
	w.create(w.newAccess("wrong", probing(others.URL, time.Minute)))
	w.enforcedIs("wrong", metav1.ConditionFalse, keyturnv1alpha1.ReasonWrongPolicy, "401 invalid_token (decision abc-1)")
	w.create(w.newAccess("node", probing("http://169.254.169.254/latest", time.Minute)))
	w.enforcedIs("node", metav1.ConditionUnknown, keyturnv1alpha1.ReasonProbeFailed, "probes do not go to")
	w.create(w.newAccess("escape", probing("http://localhost/%zz", time.Minute)))
	w.enforcedIs("escape", metav1.ConditionUnknown, keyturnv1alpha1.ReasonProbeFailed, "mend spec.probe.url")

	g := w.newGate("safe", true)
	byCA := func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.Probe.CARef = &keyturnv1alpha1.AccessProbeCAReference{Name: "authorities"}
	}
	w.create(w.newAccess("strange", probing(g.URL, time.Minute)))
	w.enforcedIs("strange", metav1.ConditionUnknown, keyturnv1alpha1.ReasonProbeFailed, "certificate")
	w.create(w.newAccess("safe", probing(g.URL, time.Minute), byCA))
	w.enforcedIs("safe", metav1.ConditionUnknown, keyturnv1alpha1.ReasonProbeFailed, "ConfigMap authorities is not there")
	held := &corev1.ConfigMap{ObjectMeta: w.meta("authorities"), Data: map[string]string{"ca.crt": "none"}}
	w.create(held)
	w.step(time.Minute)
	w.eventually("what is wrong with the ConfigMap", func() string {
		if said := w.tells("safe"); !strings.Contains(said, "no certificate in PEM") {
			return said
		}
		return ""
	})
	held.Data["ca.crt"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw}))
	if err := admin.Update(w.ctx, held); err != nil {
		t.Fatal(err)
	}
	w.step(time.Minute)
	w.enforcedIs("safe", metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed, "the ingress asked this policy")

	w.stopManager()
	asked := g.asked.Load()
	w.startManager()
	w.eventually("the new manager probes anew", func() string {
		if g.asked.Load() < asked+3 {
			return fmt.Sprintf("%d requests", g.asked.Load()-asked)
		}
		return ""
	})
	w.enforcedIs("safe", metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed, "the ingress asked this policy")
}

func TestProbesWaitForTheirPolicy(t *testing.T) {
	w := newWorld(t)
	g := w.newGate("early", false)
	w.create(w.newAccess("early", probing(g.URL, time.Minute)))
	w.enforcedIs("early", metav1.ConditionUnknown, keyturnv1alpha1.ReasonNotProbed, "see the condition Programmed")
	if g.asked.Load() > 0 {
		t.Error("probed before anything is in force")
	}
	serving(w)
	w.enforcedIs("early", metav1.ConditionTrue, keyturnv1alpha1.ReasonProbed, "the ingress asked this policy")
	w.remove(w.newAccess("early"))
	w.eventually("the metrics go with the policy", func() string {
		values, _ := gathered(t, w.ns)
		for key := range values {
			if strings.HasPrefix(key, "keyturn_accesspolicy") {
				return key
			}
		}
		return ""
	})
}

var testReach = probe.Reach{Private: true, Loopback: true}

// eventSaid waits for an Event of a policy.
func (w *world) eventSaid(name, reason, words string) {
	w.Helper()
	w.eventually("an Event says "+words, func() string {
		var events eventsv1.EventList
		if err := admin.List(w.ctx, &events, inNamespace(w.ns)); err != nil {
			return err.Error()
		}
		seen := ""
		for i := range events.Items {
			e := &events.Items[i]
			if e.Regarding.Name == name && e.Reason == reason && e.Type == corev1.EventTypeWarning && strings.Contains(e.Note, words) {
				return ""
			}
			seen += e.Reason + ": " + e.Note + "\n"
		}
		return seen
	})
}
