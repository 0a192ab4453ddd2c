package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// serviceWait is how long a container waits for a Service that its arguments name: an operator may make
// the workload a moment before the Service. Then the name stays as it is.
const serviceWait = 5 * time.Second

// apiLimit bounds what a start or a refresh asks the API server, which may hang.
const apiLimit = 2 * time.Second

// resolve gives the container's environment as its specification has it, before any path or name is
// replaced. While the API server is away, a restart gets what the last start had, as a kubelet's cache gives it.
func (c *containerRun) resolve(ctx context.Context) (*environment, error) {
	asking, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	env, err := c.pod.environment(asking, c.spec)
	missing := apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || errors.Is(err, errMissingKey)
	if last := c.lastEnvironment(); err != nil && !missing && last != nil && ctx.Err() == nil {
		return last, nil
	}
	return env, err
}

func (c *containerRun) lastEnvironment() *environment {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.env
}

// commandLine gives the program and its arguments with everything replaced.
func (c *containerRun) commandLine(env *environment) ([]string, error) {
	return c.argv(env, append(c.entrypoint(), c.spec.Args...))
}

func (c *containerRun) entrypoint() []string {
	command := c.spec.Command
	if len(command) == 0 {
		command = c.pod.agent.opts.Images[c.spec.Image]
	}
	if len(command) == 0 {
		name, _, _ := strings.Cut(path.Base(c.spec.Image), "@")
		name, _, _ = strings.Cut(name, ":")
		command = []string{name}
	}
	return slices.Clone(command)
}

func (c *containerRun) argv(env *environment, words []string) ([]string, error) {
	argv := make([]string, len(words))
	for i, w := range words {
		argv[i] = expand(w, env.get)
	}
	for i := 1; i < len(argv); i++ {
		argv[i] = c.rewrite("", argv[i])
	}
	program, err := c.pod.agent.program(argv[0])
	argv[0] = program
	return argv, err
}

// program finds an executable by its base name in BinDir, or else as it is written.
func (a *Agent) program(name string) (string, error) {
	if p := filepath.Join(a.opts.BinDir, filepath.Base(name)); a.opts.BinDir != "" && isProgram(p) {
		return filepath.Abs(p)
	}
	if p, err := exec.LookPath(name); err == nil {
		return filepath.Abs(p)
	}
	return "", fmt.Errorf("there is no program %q in %s, and none at %s: build it there", filepath.Base(name), a.opts.BinDir, name)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// rewrite replaces mount paths and names of Services in an argument (name is empty) or a variable's value.
func (c *containerRun) rewrite(name, value string) string {
	value = rewriteMounts(value, c.pod.mounts(c.spec))
	return rewriteServices(name, value, c.pod.agent.clusterIP)
}

func (a *Agent) clusterIP(namespace, name string) (string, bool) {
	s, err := a.services.Services(namespace).Get(name)
	if err != nil || !hasClusterIP(s) {
		return "", false
	}
	return s.Spec.ClusterIP, true
}

// awaitServices waits until all Services that are named exist, but not longer than serviceWait.
func (c *containerRun) awaitServices(ctx context.Context, env *environment) {
	var named [][2]string
	for _, a := range append(c.entrypoint(), c.spec.Args...) {
		named = append(named, servicesIn("", expand(a, env.get))...)
	}
	for _, n := range env.names {
		named = append(named, servicesIn(n, env.values[n])...)
	}
	ctx, cancel := context.WithTimeout(ctx, serviceWait)
	defer cancel()
	for _, n := range named {
		for {
			s, err := c.pod.agent.services.Services(n[0]).Get(n[1])
			if err == nil {
				if !hasClusterIP(s) {
					c.pod.agent.log.Warn("a headless Service is named; there is no DNS that could answer", "pod", c.pod.name(), "service", n[0]+"/"+n[1])
				}
				break
			}
			if !pause(ctx, 20*time.Millisecond) {
				c.pod.event(corev1.EventTypeWarning, "ServiceUnknown", "there is no Service %s/%s; its name is passed on as it is", n[0], n[1])
				break
			}
		}
	}
}

// finalEnvironment is what the process gets: a bare machine's variables, Options.Env, the container's own
// ones with paths and names replaced, and what makes up for the missing isolation.
func (c *containerRun) finalEnvironment(env *environment) []string {
	list := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir, "HOSTNAME=" + c.pod.pod().Name,
	}
	if c.pod.kubeconfig != "" {
		list = append(list, "KUBECONFIG="+c.pod.kubeconfig)
	}
	list = append(list, c.pod.agent.opts.Env...)
	for _, n := range env.names {
		list = append(list, n+"="+c.rewrite(n, env.values[n]))
	}
	return append(list, "KEYTURN_BIND_ADDRESS="+c.pod.ip.String())
}

// workingDir is the container's directory, unless its specification names one that exists here.
func (c *containerRun) workingDir() string {
	if c.spec.WorkingDir != "" {
		dir := rewriteMounts(c.spec.WorkingDir, c.pod.mounts(c.spec))
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return c.dir
}
