package local

import (
	"context"
	"fmt"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/keyturn/keyturn/hack/cluster/agent"
)

// startAgent runs the node agent in this process and returns when its node is Ready.
func (c *Cluster) startAgent(ctx context.Context) error {
	if c.opts.WithoutNode {
		return nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfigOf("agent"))
	if err != nil {
		return err
	}
	o := c.opts.Agent
	o.Dir, o.BinDir, o.Log = c.dir, c.opts.BinDir, c.opts.Log
	o.NodeAddress, o.NodePort, o.PodNetwork = c.slot.address(), c.ports.node, c.slot.pods()
	c.agent, err = agent.New(config, o)
	if err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.stopAgent, c.agentDone = cancel, make(chan struct{})
	go func() {
		defer close(c.agentDone)
		c.agent.Run(run)
	}()
	select {
	case <-c.agent.Ready():
		return nil
	case <-c.agentDone:
		return fmt.Errorf("the node agent did not start: %w", c.agent.Err())
	case <-ctx.Done():
		return ctx.Err()
	}
}
