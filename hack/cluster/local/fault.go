package local

import (
	"context"
	"fmt"
	"slices"
	"syscall"

	"github.com/keyturn/keyturn/hack/cluster/binaries"
)

// Faults of the control plane, for tests. name is "etcd", "kube-apiserver" or "kube-controller-manager".

func (c *Cluster) find(name string) (*program, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.running {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no program %q runs in the cluster", name)
}

// Signal sends a signal to a program; SIGSTOP and SIGCONT pause it and let it go on.
func (c *Cluster) Signal(name string, s syscall.Signal) error {
	p, err := c.find(name)
	if err == nil {
		p.Process.Signal(s)
	}
	return err
}

// Kill kills a program and returns when it has ended. Restart starts it again.
func (c *Cluster) Kill(name string) error {
	p, err := c.find(name)
	if err != nil {
		return err
	}
	p.Process.Kill()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = slices.DeleteFunc(c.running, func(q *program) bool { return q == p })
	return nil
}

// Restart kills a program if it runs, starts it with the same data, and returns when it is ready.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	if _, err := c.find(name); err == nil {
		if err := c.Kill(name); err != nil {
			return err
		}
	}
	switch name {
	case binaries.Etcd:
		return c.startEtcd(ctx)
	case binaries.APIServer:
		p, err := c.startAPIServer()
		if err != nil {
			return err
		}
		return c.await(ctx, p, c.server()+"/readyz")
	case binaries.ControllerManager:
		p, err := c.startControllerManager()
		if err != nil {
			return err
		}
		return c.awaitControllerManager(ctx, p)
	}
	return fmt.Errorf("the control plane has no program %q", name)
}
