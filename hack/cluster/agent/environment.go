package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var errMissingKey = errors.New("couldn't find key")

// environment is a container's environment in the order of its definition.
type environment struct {
	names  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if e.values == nil {
		e.values = map[string]string{}
	}
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environment) get(name string) (string, bool) {
	v, ok := e.values[name]
	return v, ok
}

// environment resolves what the container's specification says: Services first, then envFrom, then env,
// each overriding the one before. $(VAR) sees what was defined before it.
func (p *podRun) environment(ctx context.Context, c *corev1.Container) (*environment, error) {
	pod := p.pod()
	env := &environment{}
	services, err := p.agent.services.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	for name, value := range serviceEnvironment(services, pod.Namespace, links) {
		env.set(name, value)
	}
	for _, from := range c.EnvFrom {
		if err := p.environmentFrom(ctx, env, from); err != nil {
			return nil, err
		}
	}
	for _, v := range c.Env {
		value := expand(v.Value, env.get)
		if v.ValueFrom != nil {
			var ok bool
			if value, ok, err = p.valueFrom(ctx, c, v.ValueFrom); err != nil {
				return nil, fmt.Errorf("variable %s: %w", v.Name, err)
			}
			if !ok {
				continue
			}
		}
		env.set(v.Name, value)
	}
	return env, nil
}

func (p *podRun) environmentFrom(ctx context.Context, env *environment, from corev1.EnvFromSource) error {
	values := map[string]string{}
	switch {
	case from.ConfigMapRef != nil:
		cm, err := p.configMap(ctx, from.ConfigMapRef.Name)
		if err != nil && !(isTrue(from.ConfigMapRef.Optional) && apierrors.IsNotFound(err)) {
			return err
		}
		if err == nil {
			values = cm.Data
		}
	case from.SecretRef != nil:
		s, err := p.secret(ctx, from.SecretRef.Name)
		if err != nil && !(isTrue(from.SecretRef.Optional) && apierrors.IsNotFound(err)) {
			return err
		}
		if err == nil {
			for k, v := range s.Data {
				values[k] = string(v)
			}
		}
	}
	for k, v := range values {
		env.set(from.Prefix+k, v)
	}
	return nil
}

func (p *podRun) valueFrom(ctx context.Context, c *corev1.Container, from *corev1.EnvVarSource) (string, bool, error) {
	switch {
	case from.FieldRef != nil:
		v, err := p.field(from.FieldRef.FieldPath)
		return v, true, err
	case from.ResourceFieldRef != nil:
		v, err := p.resourceField(c, from.ResourceFieldRef)
		return v, true, err
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		cm, err := p.configMap(ctx, r.Name)
		if err == nil {
			if v, ok := cm.Data[r.Key]; ok {
				return v, true, nil
			}
			err = fmt.Errorf("%w %s in ConfigMap %s/%s", errMissingKey, r.Key, p.pod().Namespace, r.Name)
		} else if !apierrors.IsNotFound(err) {
			return "", false, err
		}
		return "", false, unless(isTrue(r.Optional), err)
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		s, err := p.secret(ctx, r.Name)
		if err == nil {
			if v, ok := s.Data[r.Key]; ok {
				return string(v), true, nil
			}
			err = fmt.Errorf("%w %s in Secret %s/%s", errMissingKey, r.Key, p.pod().Namespace, r.Name)
		} else if !apierrors.IsNotFound(err) {
			return "", false, err
		}
		return "", false, unless(isTrue(r.Optional), err)
	}
	return "", false, errors.New("this source of a value is not known here")
}

func unless(optional bool, err error) error {
	if optional {
		return nil
	}
	return err
}

func isTrue(b *bool) bool { return b != nil && *b }

func (p *podRun) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	return p.agent.client.CoreV1().Secrets(p.pod().Namespace).Get(ctx, name, metav1.GetOptions{})
}

func (p *podRun) configMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	return p.agent.client.CoreV1().ConfigMaps(p.pod().Namespace).Get(ctx, name, metav1.GetOptions{})
}

// serviceEnvironment gives the variables that the kubelet sets for Services: all of the namespace if
// links is true, and always those of default/kubernetes.
func serviceEnvironment(services []*corev1.Service, namespace string, links bool) map[string]string {
	env := map[string]string{}
	sort.Slice(services, func(i, j int) bool { return services[i].Name < services[j].Name })
	for _, s := range services {
		master := s.Namespace == metav1.NamespaceDefault && s.Name == "kubernetes"
		if !master && !(links && s.Namespace == namespace) || !hasClusterIP(s) || len(s.Spec.Ports) == 0 {
			continue
		}
		ip := s.Spec.ClusterIP
		prefix := variable(s.Name)
		env[prefix+"_SERVICE_HOST"] = ip
		env[prefix+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
		for i, port := range s.Spec.Ports {
			if port.Name != "" {
				env[prefix+"_SERVICE_PORT_"+variable(port.Name)] = strconv.Itoa(int(port.Port))
			}
			protocol := string(port.Protocol)
			url := strings.ToLower(protocol) + "://" + net.JoinHostPort(ip, strconv.Itoa(int(port.Port)))
			if i == 0 {
				env[prefix+"_PORT"] = url
			}
			p := fmt.Sprintf("%s_PORT_%d_%s", prefix, port.Port, strings.ToUpper(protocol))
			env[p], env[p+"_PROTO"], env[p+"_PORT"], env[p+"_ADDR"] = url, strings.ToLower(protocol), strconv.Itoa(int(port.Port)), ip
		}
	}
	return env
}

func variable(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }

func hasClusterIP(s *corev1.Service) bool {
	return s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone
}
