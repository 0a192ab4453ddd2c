package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// The actions of probes and of lifecycle hooks.

var probeClient = &http.Client{
	Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, Proxy: nil,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (c *containerRun) port(p intstr.IntOrString) (string, error) {
	if p.Type == intstr.Int {
		return strconv.Itoa(p.IntValue()), nil
	}
	if n, ok := containerPort([]corev1.Container{*c.spec}, nil, p.StrVal); ok {
		return strconv.Itoa(n), nil
	}
	return "", fmt.Errorf("the container has no port named %q", p.StrVal)
}

func (c *containerRun) target(host string, p intstr.IntOrString) (string, error) {
	if host == "" {
		host = c.pod.ip.String()
	}
	port, err := c.port(p)
	return net.JoinHostPort(host, port), err
}

// httpGet succeeds on a status from 200 to 399, as the kubelet's does.
func (c *containerRun) httpGet(ctx context.Context, g *corev1.HTTPGetAction) error {
	target, err := c.target(g.Host, g.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if g.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+target+"/"+strings.TrimPrefix(g.Path, "/"), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/1.36")
	for _, h := range g.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
		} else {
			req.Header.Add(h.Name, h.Value)
		}
	}
	resp, err := probeClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10))
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", resp.StatusCode)
	}
	return nil
}

func (c *containerRun) tcpConnect(ctx context.Context, a *corev1.TCPSocketAction) error {
	target, err := c.target(a.Host, a.Port)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (c *containerRun) grpcHealth(ctx context.Context, a *corev1.GRPCAction) error {
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(c.pod.ip.String(), strconv.Itoa(int(a.Port))),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("kube-probe/1.36"))
	if err != nil {
		return err
	}
	defer conn.Close()
	request := &healthv1.HealthCheckRequest{}
	if a.Service != nil {
		request.Service = *a.Service
	}
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, request)
	if err != nil {
		return err
	}
	if answer.Status != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service unhealthy (responded with %q)", answer.Status)
	}
	return nil
}

// exec runs a command as the container would, with its environment, and fails unless it exits with 0.
func (c *containerRun) exec(ctx context.Context, command []string) error {
	if len(command) == 0 {
		return nil
	}
	env := c.lastEnvironment() // never the API server: it may be away
	argv, err := c.argv(env, command)
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(c.dir, "exec-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.workingDir(), c.finalEnvironment(env)
	cmd.Stdout, cmd.Stderr = out, out
	p, err := process.Start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Signal(syscall.SIGKILL)
		<-p.Done()
		return fmt.Errorf("command %q: %w", command, ctx.Err())
	}
	if code, _ := p.Exit(); code != 0 {
		text, _ := io.ReadAll(io.NewSectionReader(out, 0, 1<<10))
		return fmt.Errorf("command %q exited with %d: %s", command, code, strings.TrimSpace(string(text)))
	}
	return nil
}

// hook runs a lifecycle handler within the time that ctx leaves.
func (c *containerRun) hook(ctx context.Context, h *corev1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		return c.exec(ctx, h.Exec.Command)
	case h.HTTPGet != nil:
		return c.httpGet(ctx, h.HTTPGet)
	case h.Sleep != nil:
		pause(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
	case h.TCPSocket != nil:
		return c.tcpConnect(ctx, h.TCPSocket)
	}
	return nil
}
