package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// cachedToken is a token of the pod's ServiceAccount and when a new one is due.
type cachedToken struct {
	value string
	due   time.Time
}

// token gives a token for the audience (empty: the API server), bound to the pod. It is renewed when
// four fifths of its life are over.
func (p *podRun) token(ctx context.Context, audience string, seconds int64) (string, error) {
	key := fmt.Sprintf("%s/%d", audience, seconds)
	p.mu.Lock()
	cached := p.tokens[key]
	p.mu.Unlock()
	if time.Now().Before(cached.due) {
		return cached.value, nil
	}
	pod := p.pod()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	answer, err := p.agent.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	life := time.Until(answer.Status.ExpirationTimestamp.Time)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[key] = cachedToken{answer.Status.Token, time.Now().Add(life * 4 / 5)}
	return answer.Status.Token, nil
}

// hasToken says whether the pod's token is mounted: admission added the volume, unless it is switched off.
func (p *podRun) hasToken() bool {
	for _, c := range p.pod().Spec.Containers {
		for _, m := range c.VolumeMounts {
			if m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" {
				return true
			}
		}
	}
	return false
}

// writeKubeconfig keeps the pod's kubeconfig and its token file fresh. Clients read the file again by
// themselves, so the kubeconfig never changes.
func (p *podRun) writeKubeconfig(ctx context.Context) (path string, err error) {
	token, err := p.token(ctx, "", 3600)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(p.dir, "api")
	if _, err := writeVolume(dir, map[string]volumeFile{"token": {[]byte(token), 0o600}}); err != nil {
		return "", err
	}
	path = filepath.Join(p.dir, "kubeconfig")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	config := p.agent.config
	ca := config.CAData
	if len(ca) == 0 {
		if ca, err = os.ReadFile(config.CAFile); err != nil {
			return "", err
		}
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["local"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: ca}
	c.AuthInfos["local"] = &clientcmdapi.AuthInfo{TokenFile: filepath.Join(dir, "token")}
	c.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "local", Namespace: p.pod().Namespace}
	c.CurrentContext = "local"
	return path, clientcmd.WriteToFile(*c, path)
}
