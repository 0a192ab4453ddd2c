package controllers

import (
	"fmt"
	"maps"
	"slices"

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
	dirStore    = "/etc/keyturn/store"
	dirClients  = "/etc/keyturn/clients"
	dirTLS      = "/etc/keyturn/tls"
	dirLegacy   = "/etc/keyturn/legacy"
	dirData     = "/var/lib/keyturn"
)

// statefulSet is the token service on the embedded store: a set of one, replaced and never surged, because two
// processes must not open one file.
func statefulSet(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout, image string) *appsv1.StatefulSet {
	names := namesOf(tsvc)
	pod := tokenServicePod(tsvc, aro, image, "--data-dir="+dirData)
	container := &pod.Spec.Containers[0]
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

// tokenServiceDeployment is the token service on a shared store.
func tokenServiceDeployment(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout, image string) *appsv1.Deployment {
	pod := tokenServicePod(tsvc, aro, image, "--store="+storeURL(tsvc), "--store-dir="+dirStore)
	mountStore(&pod.Spec, tsvc)
	return surged(tsvc, namesOf(tsvc).tokenService, keyturnv1alpha1.ComponentTokenService, tsvc.Spec.Replicas, pod)
}

// tokenServicePod is what a token service needs whatever its store is. store are the arguments that say which.
func tokenServicePod(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout, image string, store ...string) corev1.PodTemplateSpec {
	names := namesOf(tsvc)
	pod := podTemplate(tsvc, keyturnv1alpha1.ComponentTokenService, tsvc.Spec.PodTemplate.TokenService, image)
	container := &pod.Spec.Containers[0]
	container.Name = "tokenservice"
	container.Command = []string{"/tokenservice"}
	container.Args = slices.Concat([]string{
		"--snapshot=" + dirSnapshot + "/" + snapshotKey,
		"--feed-dir=" + dirFeed,
		"--identity-dir=" + dirIdentity,
	}, store, []string{
		"--listen=" + listen(portPublic),
		"--feed-listen=" + listen(portFeed),
		"--internal-listen=" + listen(portInternal),
	})
	if len(tsvc.Spec.Clients) > 0 {
		container.Args = append(container.Args, "--client-dir="+dirClients)
	}
	if tsvc.Spec.TLS != nil {
		container.Args = append(container.Args, "--tls-dir="+dirTLS)
	}
	if aro != nil {
		container.Args = append(container.Args, "--legacy-dir="+dirLegacy)
	}
	container.Ports = []corev1.ContainerPort{
		{Name: "http", ContainerPort: portPublic, Protocol: corev1.ProtocolTCP},
		{Name: "feed", ContainerPort: portFeed, Protocol: corev1.ProtocolTCP},
		{Name: "internal", ContainerPort: portInternal, Protocol: corev1.ProtocolTCP},
	}
	mountSecret(&pod.Spec, "snapshot", names.issuerSnapshot, dirSnapshot)
	mountSecret(&pod.Spec, "feed", names.feedServer, dirFeed)
	mountIdentity(&pod.Spec, tsvc.Spec.Identity)
	mountClients(&pod.Spec, tsvc.Spec.Clients)
	mountTLS(&pod.Spec, tsvc.Spec.TLS)
	mountLegacy(&pod.Spec, aro)
	return pod
}

// deployment is the edge.
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
	return surged(tsvc, names.edge, keyturnv1alpha1.ComponentEdge, tsvc.Spec.Edge.Replicas, pod)
}

// surged is a Deployment in which a new pod is ready before an old one goes.
func surged(tsvc *keyturnv1alpha1.TokenService, name, component string, replicas int32, pod corev1.PodTemplateSpec) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, component)},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: selectorLabels(tsvc, component)},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt32(0)), MaxSurge: new(intstr.FromInt32(1))},
			},
			Template: pod,
		},
	}
}

// disruptionBudgets keep a drain of nodes from taking pods faster than they come back. A budget that a single pod could
// never meet would block every drain, so each counts who is away. The token service has one where it is several; the one
// on the embedded store must be movable by a drain. A budget that is left from more replicas blocks nothing.
func disruptionBudgets(tsvc *keyturnv1alpha1.TokenService) []*policyv1.PodDisruptionBudget {
	budget := func(name, component string) *policyv1.PodDisruptionBudget {
		return &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, component)},
			Spec: policyv1.PodDisruptionBudgetSpec{
				MaxUnavailable: new(intstr.FromInt32(1)),
				Selector:       &metav1.LabelSelector{MatchLabels: selectorLabels(tsvc, component)},
				// One that is not ready serves nobody: evicting it makes nothing worse.
				UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
			},
		}
	}
	names := namesOf(tsvc)
	budgets := []*policyv1.PodDisruptionBudget{budget(names.edge, keyturnv1alpha1.ComponentEdge)}
	if shared(tsvc) && tsvc.Spec.Replicas > 1 {
		budgets = append(budgets, budget(names.tokenService, keyturnv1alpha1.ComponentTokenService))
	}
	return budgets
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
			ReadinessProbe: kubeletProbe("/readyz", 1, 3),
			LivenessProbe:  kubeletProbe("/livez", 10, 3),
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

// kubeletProbe asks the internal port. One late answer changes nothing: on a busy node all replicas are late at once, and nobody
// would be left to answer. A pod that ends leaves its Service by being deleted, whatever its probe says.
func kubeletProbe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("internal"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 2, SuccessThreshold: 1,
	}
}

func resourcesOf(overlay keyturnv1alpha1.Resources) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("450Mi")},
	}
	for name, quantity := range overlay.Requests {
		out.Requests[corev1.ResourceName(name)] = quantity
	}
	for name, quantity := range overlay.Limits {
		out.Limits[corev1.ResourceName(name)] = quantity
	}
	return out
}

// memoryLimit makes the Go runtime collect harder from half of the container's memory on: ten thousand connections then
// stay below 300 MB (docs/performance.md), and the other half is for what the runtime does not count, and for a rush.
func memoryLimit(resources corev1.ResourceRequirements) string {
	return fmt.Sprintf("%dB", resources.Limits.Memory().Value()/2)
}

func listen(port int) string { return fmt.Sprintf(":%d", port) }
