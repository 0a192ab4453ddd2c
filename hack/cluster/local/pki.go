package local

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// lifetime of the certificates. The cluster is for trying and testing.
const lifetime = 30 * 24 * time.Hour

// pki is the cluster's own certificate authority. It is made anew at each start; only the key that signs
// service account tokens is kept, so that tokens survive a restart.
type pki struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "local-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	p := &pki{dir: dir, cert: cert, key: key, pem: encode("CERTIFICATE", der)}
	if err := p.write("ca.crt", p.pem); err != nil {
		return nil, err
	}
	if _, _, err := p.writeKey("ca.key", key); err != nil {
		return nil, err
	}
	return p, p.serviceAccountKey()
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) write(name string, b []byte) error { return os.WriteFile(p.path(name), b, 0o600) }

func (p *pki) writeKey(name string, key crypto.Signer) (private, public []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	private = encode("PRIVATE KEY", der)
	return private, encode("PUBLIC KEY", pub), p.write(name, private)
}

func (p *pki) serviceAccountKey() error {
	if _, err := os.Stat(p.path("sa.pub")); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	_, public, err := p.writeKey("sa.key", key)
	if err != nil {
		return err
	}
	return p.write("sa.pub", public)
}

// issue makes a key and a certificate, good for a client and for a server, and writes name.crt and name.key.
func (p *pki) issue(name string, subject pkix.Name, dns []string, ips ...string) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject, DNSNames: dns,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, k.Public(), p.key)
	if err != nil {
		return nil, nil, err
	}
	cert = encode("CERTIFICATE", der)
	if err := p.write(name+".crt", cert); err != nil {
		return nil, nil, err
	}
	key, _, err = p.writeKey(name+".key", k)
	return cert, key, err
}

// kubeconfig issues a client certificate and writes a kubeconfig that holds it.
func (p *pki) kubeconfig(file, server string, subject pkix.Name) error {
	cert, key, err := p.issue(subject.CommonName, subject, nil)
	if err != nil {
		return err
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["local"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: p.pem}
	c.AuthInfos["local"] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	c.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "local"}
	c.CurrentContext = "local"
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
