package local

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/keyturn/keyturn/hack/cluster/agent"
	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/cluster/image"
	"github.com/keyturn/keyturn/hack/cluster/node"
)

// Kind says what runs the pods of a cluster.
type Kind int

const (
	// AgentNode is the agent of hack/cluster/agent: plain processes, no root.
	AgentNode Kind = iota
	// RealNode is the node of hack/cluster/node: containers, root.
	RealNode
)

// Programs names the Kubernetes programs that a cluster of a kind needs.
func Programs(k Kind) []string {
	names := []string{binaries.Etcd, binaries.APIServer, binaries.ControllerManager, binaries.Kubectl}
	if k == RealNode {
		names = append(names, binaries.Scheduler, binaries.Kubelet, binaries.Proxy)
	}
	return names
}

// withoutCloud lists the controllers that would ask a cloud for routes, addresses and machines.
var withoutCloud = []string{"service-lb-controller", "node-ipam-controller", "node-route-controller", "cloud-node-lifecycle-controller"}

// volumes is how many claims a real node can serve. Each volume is a directory of this machine.
const volumes = 8

// StorageClass is the default class of a real node's cluster.
const StorageClass = "local"

func (c *Cluster) startRealNode(ctx context.Context) error {
	if err := c.startScheduler(ctx); err != nil {
		return err
	}
	if c.opts.WithoutNode {
		return nil
	}
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	if err := forgetNode(ctx, client); err != nil {
		return err
	}
	pause, err := image.BuildPause(ctx, "", filepath.Join(c.dir, "images"))
	if err != nil {
		return err
	}
	began := time.Now()
	p := c.pki
	c.node, err = node.Start(ctx, node.Options{
		Dir: c.dir, Temporary: c.temporary, Slot: c.slot.number, Lock: c.slot.file,
		Kubelet: c.programs[binaries.Kubelet], Proxy: c.programs[binaries.Proxy],
		KubeletConfig: c.kubeconfigOf(binaries.Kubelet), ProxyConfig: c.kubeconfigOf(binaries.Proxy),
		ClientCA: p.path("ca.crt"), Cert: p.path("node.crt"), Key: p.path("node.key"),
		APIServer: net.JoinHostPort(c.slot.address(), fmt.Sprint(guardPort)),
		PauseRef:  pause.Ref, Images: append([]string{pause.Path}, c.opts.Images...), Log: c.opts.Log,
	})
	if err != nil {
		return err
	}
	if err := c.awaitNode(ctx, client); err != nil {
		return err
	}
	fmt.Fprintf(c.opts.Log, "node: Ready after %.1f s, process %d\n", time.Since(began).Seconds(), c.node.Pid())
	return c.provideVolumes(ctx, client)
}

func (c *Cluster) startScheduler(ctx context.Context) error {
	conf := c.kubeconfigOf(binaries.Scheduler)
	p, err := c.run(binaries.Scheduler, "--kubeconfig", conf, "--authentication-kubeconfig", conf, "--authorization-kubeconfig", conf,
		"--leader-elect=false", "--authentication-tolerate-lookup-failure", "--bind-address", c.slot.address(), "--secure-port", fmt.Sprint(c.ports.scheduler), "--v", "1")
	if err != nil {
		return err
	}
	return c.await(ctx, p, c.schedulerURL())
}

func (c *Cluster) schedulerURL() string {
	return fmt.Sprintf("https://%s:%d/healthz", c.slot.address(), c.ports.scheduler)
}

// realNodeCertificates issues what the programs of a real node and the scheduler need.
func (c *Cluster) realNodeCertificates() error {
	nodeName := pkix.Name{CommonName: "system:node:" + node.Name, Organization: []string{"system:nodes"}}
	_, _, err := c.pki.issue(agent.LogClient, pkix.Name{CommonName: agent.LogClient, Organization: admins}, nil)
	if err == nil {
		_, _, err = c.pki.issue("node", nodeName, []string{node.Name}, c.slot.network().Node)
	}
	inside := c.slot.network().APIServer()
	return errors.Join(err,
		c.pki.kubeconfig(c.kubeconfigOf(binaries.Scheduler), c.server(), pkix.Name{CommonName: "system:kube-scheduler"}),
		c.pki.kubeconfig(c.kubeconfigOf(binaries.Kubelet), inside, nodeName),
		c.pki.kubeconfig(c.kubeconfigOf(binaries.Proxy), inside, pkix.Name{CommonName: "system:kube-proxy"}))
}

// forgetNode removes what an earlier run in the same directory says about the node and its pods: they ended with it.
// Their owners make new ones.
func forgetNode(ctx context.Context, client kubernetes.Interface) error {
	err := client.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node.Name})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		err := client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// awaitNode waits until the kubelet reports the node Ready and the controllers have taken its taint away.
func (c *Cluster) awaitNode(ctx context.Context, client kubernetes.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		n, err := client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
		if err == nil && nodeReady(n) {
			return nil
		}
		select {
		case <-c.node.Done():
			return fmt.Errorf("the node ended: %s", c.node.Logs())
		case <-ctx.Done():
			return fmt.Errorf("the node is not Ready: %w, %w\n%s", ctx.Err(), err, c.node.Logs())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func nodeReady(n *corev1.Node) bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0
		}
	}
	return false
}

// provideVolumes makes a StorageClass without a provisioner, and volumes that wait for claims.
func (c *Cluster) provideVolumes(ctx context.Context, client kubernetes.Interface) error {
	class := &storagev1.StorageClass{
		ObjectMeta:        metav1.ObjectMeta{Name: StorageClass, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner:       "kubernetes.io/no-provisioner",
		VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
	}
	if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for i := range volumes {
		name := fmt.Sprintf("%s-%d", StorageClass, i)
		dir := filepath.Join(c.dir, "volumes", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if _, err := client.CoreV1().PersistentVolumes().Create(ctx, volume(name, dir), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

func volume(name, dir string) *corev1.PersistentVolume {
	here := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node.Name}}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              StorageClass,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: dir}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{here}}},
			}},
		},
	}
}

// NodeEnded is closed when a real node has ended, for whatever reason; nil when there is none.
func (c *Cluster) NodeEnded() <-chan struct{} {
	if c.node == nil {
		return nil
	}
	return c.node.Done()
}

// Node is the real node; nil when there is none.
func (c *Cluster) Node() *node.Node { return c.node }
