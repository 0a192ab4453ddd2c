package controllers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// The keys of the two feed Secrets: the server's holds certificate, key and bearer token, the client's the pinned
// certificate and the token.
const (
	feedCertificate = corev1.TLSCertKey
	feedPrivateKey  = corev1.TLSPrivateKeyKey
	feedAuthority   = "ca.crt"
	feedToken       = "token"
)

// feedLifetime is how long the self-signed certificate of the feed is good; it is made anew in its last third.
const feedLifetime = 3 * 365 * 24 * time.Hour

// ensureFeedCredentials makes the two Secrets by which token services and edges know each other, and mends them when
// one is missing, edited or about to expire. The server's Secret is written first and is the truth.
func (b *base) ensureFeedCredentials(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) error {
	names := namesOf(tsvc)
	server, err := b.ownedSecret(ctx, tsvc, names.feedServer)
	if err != nil {
		return err
	}
	var data map[string][]byte
	if server != nil && feedServerSound(server.Data, feedServerName(tsvc), b.now()) {
		data = server.Data
	} else if data, err = newFeedServer(feedServerName(tsvc), b.now()); err != nil {
		return err
	}
	if server, err = b.writeOwnedSecret(ctx, tsvc, server, names.feedServer, data); err != nil {
		return err
	}
	client, err := b.ownedSecret(ctx, tsvc, names.feedClient)
	if err != nil {
		return err
	}
	want := map[string][]byte{feedAuthority: server.Data[feedCertificate], feedToken: server.Data[feedToken]}
	_, err = b.writeOwnedSecret(ctx, tsvc, client, names.feedClient, want)
	return err
}

func newFeedServer(name string, now time.Time) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "keyturn revocation feed"}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(feedLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the feed's certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	token := make([]byte, 32)
	_, _ = rand.Read(token) // never fails (crypto/rand)
	return map[string][]byte{
		feedCertificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		feedPrivateKey:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		feedToken:       []byte(base64.RawURLEncoding.EncodeToString(token)),
	}, nil
}

// feedServerSound tells whether certificate, key and token are fit for use for a good while.
func feedServerSound(data map[string][]byte, name string, now time.Time) bool {
	block, _ := pem.Decode(data[feedCertificate])
	key, _ := pem.Decode(data[feedPrivateKey])
	if block == nil || key == nil || len(data[feedToken]) < 43 {
		return false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil || certificate.VerifyHostname(name) != nil {
		return false
	}
	private, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return false
	}
	signer, ok := private.(*ecdsa.PrivateKey)
	return ok && signer.PublicKey.Equal(certificate.PublicKey) && now.Before(certificate.NotAfter.Add(-feedLifetime/3))
}

func ownedMeta(tsvc *keyturnv1alpha1.TokenService, name, component string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, component)}
}
