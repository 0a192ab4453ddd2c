package local

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/keyturn/keyturn/hack/cluster/agent"
	"github.com/keyturn/keyturn/hack/cluster/binaries"
)

// certificates issues what each program and each user of the cluster needs.
func (c *Cluster) certificates() (err error) {
	if c.pki, err = newPKI(filepath.Join(c.dir, "pki")); err != nil {
		return err
	}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	if _, _, err = c.pki.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, names, c.slot.address(), c.slot.host(), c.slot.firstService(), "127.0.0.1"); err != nil {
		return err
	}
	if err := c.nodeCertificates(); err != nil {
		return err
	}
	for file, subject := range map[string]pkix.Name{
		c.Kubeconfig(): {CommonName: "admin", Organization: admins},
		c.kubeconfigOf(binaries.ControllerManager): {CommonName: "system:kube-controller-manager"},
	} {
		if err := c.pki.kubeconfig(file, c.server(), subject); err != nil {
			return err
		}
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig()); err != nil {
		return err
	}
	c.config.QPS, c.config.Burst = 500, 1000
	admin, err := tls.X509KeyPair(c.config.CertData, c.config.KeyData)
	c.clientCerts = []tls.Certificate{admin}
	return err
}

// admins may do everything.
var admins = []string{"system:masters"}

// kubeconfigOf is the path of the kubeconfig of a program.
func (c *Cluster) kubeconfigOf(program string) string {
	return filepath.Join(c.dir, "pki", program+".kubeconfig")
}

// nodeCertificates issues what the agent needs.
func (c *Cluster) nodeCertificates() error {
	if c.opts.Node == RealNode {
		return c.realNodeCertificates()
	}
	if _, _, err := c.pki.issue(agent.LogClient, pkix.Name{CommonName: agent.LogClient}, nil); err != nil {
		return err
	}
	cert, key, err := c.pki.issue("node", pkix.Name{CommonName: "local", Organization: []string{"system:nodes"}}, []string{"local"}, c.slot.address())
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	c.opts.Agent.ServingCert = &pair
	c.opts.Agent.ClientCA = x509.NewCertPool()
	c.opts.Agent.ClientCA.AddCert(c.pki.cert)
	return c.pki.kubeconfig(c.kubeconfigOf("agent"), c.server(), pkix.Name{CommonName: "local-node-agent", Organization: admins})
}
