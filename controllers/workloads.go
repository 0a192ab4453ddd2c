package controllers

import (
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// Where the documents and credentials are mounted.
const (
	dirSnapshot = "/etc/keyturn/snapshot"
	dirFeed     = "/etc/keyturn/feed"
	dirIdentity = "/etc/keyturn/identity"
	dirData     = "/var/lib/keyturn"
)

// statefulSet is the token service on the embedded store: a set of one, replaced and never surged, because two
// processes must not open one file.
func statefulSet(tsvc *keyturnv1alpha1.TokenService, image string) *appsv1.StatefulSet {
	names := namesOf(tsvc)
	pod := podTemplate(tsvc, keyturnv1alpha1.ComponentTokenService, tsvc.Spec.PodTemplate.TokenService, image)
	container := &pod.Spec.Containers[0]
	container.Name = "tokenservice"
	container.Command = []string{"/tokenservice"}
	container.Args = []string{
		"--snapshot=" + dirSnapshot + "/" + snapshotKey,
		"--feed-dir=" + dirFeed,
		"--identity-dir=" + dirIdentity,
		"--data-dir=" + dirData,
		"--listen=" + listen(portPublic),
		"--feed-listen=" + listen(portFeed),
		"--internal-listen=" + listen(portInternal),
	}
	container.Ports = []corev1.ContainerPort{
		{Name: "http", ContainerPort: portPublic, Protocol: corev1.ProtocolTCP},
		{Name: "feed", ContainerPort: portFeed, Protocol: corev1.ProtocolTCP},
		{Name: "internal", ContainerPort: portInternal, Protocol: corev1.ProtocolTCP},
	}
	mountSecret(&pod.Spec, "snapshot", names.issuerSnapshot, dirSnapshot)
	mountSecret(&pod.Spec, "feed", names.feedServer, dirFeed)
	mountIdentity(&pod.Spec, tsvc.Spec.Identity)
	container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: dirData})
	store := tsvc.Spec.Store.Embedded
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: names.tokenService, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, keyturnv1alpha1.ComponentTokenService)},
		Spec: appsv1.StatefulSetSpec{
			Replicas:            new(tsvc.Spec.Replicas),
			ServiceName:         names.feed,
			PodManagementPolicy: appsv1.ParallelPodManagement,
			Selector:            &metav1.LabelSelector{MatchLabels: selectorLabels(tsvc, keyturnv1alpha1.ComponentTokenService)},
			Template:            pod,
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data", Labels: objectLabels(tsvc, keyturnv1alpha1.ComponentTokenService)},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					StorageClassName: store.StorageClassName,
					VolumeMode:       new(corev1.PersistentVolumeFilesystem),
					Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: store.Size}},
				},
			}},
		},
	}
}

// deployment is the edge. A new pod is ready before an old one goes.
func deployment(tsvc *keyturnv1alpha1.TokenService, image string) *appsv1.Deployment {
	names := namesOf(tsvc)
	pod := podTemplate(tsvc, keyturnv1alpha1.ComponentEdge, tsvc.Spec.PodTemplate.Edge, image)
	container := &pod.Spec.Containers[0]
	container.Name = "extauthz"
	container.Command = []string{"/extauthz"}
	container.Args = []string{
		"--snapshot=" + dirSnapshot + "/" + snapshotKey,
		"--feed-dir=" + dirFeed,
		"--http-listen=" + listen(portPublic),
		"--grpc-listen=" + listen(portGRPC),
		"--internal-listen=" + listen(portInternal),
	}
	container.Ports = []corev1.ContainerPort{
		{Name: "http", ContainerPort: portPublic, Protocol: corev1.ProtocolTCP},
		{Name: "grpc", ContainerPort: portGRPC, Protocol: corev1.ProtocolTCP},
		{Name: "internal", ContainerPort: portInternal, Protocol: corev1.ProtocolTCP},
	}
	mountSecret(&pod.Spec, "snapshot", names.edgeSnapshot, dirSnapshot)
	mountSecret(&pod.Spec, "feed", names.feedClient, dirFeed)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: names.edge, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, keyturnv1alpha1.ComponentEdge)},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(tsvc.Spec.Edge.Replicas),
			Selector: &metav1.LabelSelector{MatchLabels: selectorLabels(tsvc, keyturnv1alpha1.ComponentEdge)},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt32(0)), MaxSurge: new(intstr.FromInt32(1))},
			},
			Template: pod,
		},
	}
}

// disruptionBudget keeps a drain of nodes from taking edges faster than they come back. A budget that a single edge
// could never meet would block every drain, so it counts who is away. The token service on the embedded store has
// none: it is one, and a drain must be able to move it.
func disruptionBudget(tsvc *keyturnv1alpha1.TokenService) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: namesOf(tsvc).edge, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, keyturnv1alpha1.ComponentEdge)},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: selectorLabels(tsvc, keyturnv1alpha1.ComponentEdge)},
			// An edge that is not ready serves nobody: evicting it makes nothing worse.
			UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
		},
	}
}

// podTemplate is what both workloads share: restricted pod security, probes, resources and the user's overlay. The
// pods have no access to the API server.
func podTemplate(tsvc *keyturnv1alpha1.TokenService, component string, overlay keyturnv1alpha1.PodOverlay, image string) corev1.PodTemplateSpec {
	labels, annotations, nodes := map[string]string{}, map[string]string{}, map[string]string{}
	for k, v := range overlay.Labels {
		labels[k] = string(v)
	}
	for k, v := range overlay.Annotations {
		annotations[k] = string(v)
	}
	for k, v := range overlay.NodeSelector {
		nodes[k] = string(v)
	}
	maps.Copy(labels, objectLabels(tsvc, component))
	resources := resourcesOf(overlay.Resources)
	account := namesOf(tsvc).edge
	if component == keyturnv1alpha1.ComponentTokenService {
		account = namesOf(tsvc).tokenService
	}
	spec := corev1.PodSpec{
		ServiceAccountName:            account,
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(int64(30)),
		NodeSelector:                  nodes,
		PriorityClassName:             overlay.PriorityClassName,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)), FSGroup: new(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Image: image,
			Env: []corev1.EnvVar{
				{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
				{Name: "GOMEMLIMIT", Value: memoryLimit(resources)},
			},
			Resources:      resources,
			ReadinessProbe: probe("/readyz", 1, 1),
			LivenessProbe:  probe("/livez", 10, 3),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
	for _, t := range overlay.Tolerations {
		spec.Tolerations = append(spec.Tolerations, corev1.Toleration{
			Key: t.Key, Operator: corev1.TolerationOperator(t.Operator), Value: t.Value,
			Effect: corev1.TaintEffect(t.Effect), TolerationSeconds: t.TolerationSeconds,
		})
	}
	for _, s := range overlay.ImagePullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s.Name})
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations}, Spec: spec}
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("internal"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 2, SuccessThreshold: 1,
	}
}

func mountSecret(pod *corev1.PodSpec, volume, secret, path string) {
	mount(pod, volume, path, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: new(int32(0o440))}})
}

// mountIdentity mounts the users of every source, one directory each. They are optional: without its Secret a source
// fails with 503, while the public keys, refresh of others and logout go on.
func mountIdentity(pod *corev1.PodSpec, sources []keyturnv1alpha1.IdentitySource) {
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o440))}
	for _, source := range sources {
		projected.Sources = append(projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: source.HTPasswd.SecretRef.Name},
			Items: []corev1.KeyToPath{
				{Key: "htpasswd", Path: source.Name + "/htpasswd"},
				{Key: "roles", Path: source.Name + "/roles"},
			},
			Optional: new(true),
		}})
	}
	mount(pod, "identity", dirIdentity, corev1.VolumeSource{Projected: projected})
}

func mount(pod *corev1.PodSpec, volume, path string, source corev1.VolumeSource) {
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: volume, VolumeSource: source})
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: path, ReadOnly: true})
}

func resourcesOf(overlay keyturnv1alpha1.Resources) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
	for name, quantity := range overlay.Requests {
		out.Requests[corev1.ResourceName(name)] = quantity
	}
	for name, quantity := range overlay.Limits {
		out.Limits[corev1.ResourceName(name)] = quantity
	}
	return out
}

// memoryLimit leaves a tenth of the container's memory to what the Go runtime does not count.
func memoryLimit(resources corev1.ResourceRequirements) string {
	return fmt.Sprintf("%dB", resources.Limits.Memory().Value()/10*9)
}

func listen(port int) string { return fmt.Sprintf(":%d", port) }
