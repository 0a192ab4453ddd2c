package agent

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// field resolves a downward API path.
func (p *podRun) field(path string) (string, error) {
	pod := p.pod()
	if name, key, ok := strings.Cut(strings.TrimSuffix(path, "']"), "['"); ok {
		switch name {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return p.ip.String(), nil
	case "status.hostIP", "status.hostIPs":
		return p.agent.opts.NodeAddress, nil
	}
	return "", fmt.Errorf("the field %q is not known here", path)
}

// formatMap writes a map as the kubelet writes labels and annotations into a file.
func formatMap(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s\n", k, strconv.Quote(m[k]))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// resourceField resolves a limit or request; a missing limit is what the node has.
func (p *podRun) resourceField(c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	if ref.ContainerName != "" && ref.ContainerName != c.Name {
		for i := range p.pod().Spec.Containers {
			if p.pod().Spec.Containers[i].Name == ref.ContainerName {
				c = &p.pod().Spec.Containers[i]
			}
		}
	}
	kind, name, ok := strings.Cut(ref.Resource, ".")
	list := map[string]corev1.ResourceList{"limits": c.Resources.Limits, "requests": c.Resources.Requests}[kind]
	if !ok || (kind != "limits" && kind != "requests") {
		return "", fmt.Errorf("the resource %q is not known here", ref.Resource)
	}
	value, found := list[corev1.ResourceName(name)]
	if !found && kind == "limits" {
		switch name {
		case "cpu":
			value = *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI)
		case "memory":
			value = memoryCapacity()
		}
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == "cpu" {
		return strconv.FormatInt(ceil(value.MilliValue(), divisor.MilliValue()), 10), nil
	}
	return strconv.FormatInt(ceil(value.Value(), divisor.Value()), 10), nil
}

func ceil(a, b int64) int64 { return (a + b - 1) / max(b, 1) }
