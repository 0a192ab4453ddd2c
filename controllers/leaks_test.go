package controllers

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var memberD = regexp.MustCompile(`"d":\s*"([A-Za-z0-9_-]{20,})"`)

// privateMember finds the private member of a JWK, empty if there is none.
func privateMember(raw []byte) string {
	if found := memberD.FindSubmatch(raw); found != nil {
		return string(found[1])
	}
	return ""
}

// noLeaks looks for secret material in all that a world has said: Events, objects without their Secrets, the log.
func (w *world) noLeaks() {
	secrets := w.secretMaterial()
	said := map[string]string{"the log": managerLog.String()}
	for name, list := range map[string]client.ObjectList{
		"an Event": &eventsv1.EventList{}, "a ConfigMap": &corev1.ConfigMapList{}, "a pod": &corev1.PodList{},
	} {
		if err := admin.List(w.ctx, list, client.InNamespace(w.ns)); err != nil {
			w.Errorf("list: %v", err)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			w.Error(err)
		}
		said[name] = string(raw)
	}
	status, err := json.Marshal([]any{w.set(), w.service()})
	if err != nil {
		w.Error(err)
	}
	said["a status"] = string(status)
	for where, text := range said {
		for what, secret := range secrets {
			if strings.Contains(text, secret) {
				w.Errorf("%s holds %s", where, what)
			}
		}
	}
}

func (w *world) secretMaterial() map[string]string {
	out := map[string]string{"a password hash": usersHash}
	var all corev1.SecretList
	if err := admin.List(w.ctx, &all, client.InNamespace(w.ns)); err != nil {
		w.Errorf("list Secrets: %v", err)
	}
	for _, secret := range all.Items {
		for key, value := range secret.Data {
			if d := privateMember(value); d != "" {
				out["the private half in "+secret.Name] = d
			}
			if lines := strings.Split(string(value), "\n"); strings.Contains(string(value), "PRIVATE KEY-----") && len(lines) > 2 {
				out["the key in "+secret.Name+"/"+key] = lines[1]
			}
			if key == feedToken {
				out["the token of "+secret.Name] = string(value)
			}
		}
	}
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	for d := range w.fleet.secrets {
		out[fmt.Sprintf("private half %d", len(out))] = d
	}
	return out
}

// events are the reasons of the Events so far.
func (w *world) events() []string {
	var all eventsv1.EventList
	if err := admin.List(w.ctx, &all, client.InNamespace(w.ns)); err != nil {
		w.Fatalf("list Events: %v", err)
	}
	var out []string
	for _, e := range all.Items {
		out = append(out, e.Reason)
	}
	return out
}

// eventsTell waits for Events with these reasons: a manager sends them when it has written what they tell of, and later.
func (w *world) eventsTell(reasons ...string) {
	w.Helper()
	w.eventually("Events tell", func() string {
		all := w.events()
		for _, reason := range reasons {
			if !slices.Contains(all, reason) {
				return fmt.Sprintf("%s is missing among %v", reason, all)
			}
		}
		return ""
	})
}
