//go:build !linux

package node

import (
	"context"
	"errors"
)

// Node exists on Linux only.
type Node struct{}

// Check tells why this machine cannot run a node.
func Check() error { return errors.New("a real node needs Linux: use a virtual machine") }

// Start fails, see Check.
func Start(context.Context, Options) (*Node, error) { return nil, Check() }

// Import does nothing.
func (*Node) Import(context.Context, string) error { return Check() }

// Pid is 0.
func (*Node) Pid() int { return 0 }

// Done is nil.
func (*Node) Done() <-chan struct{} { return nil }

// Logs is empty.
func (*Node) Logs() string { return "" }

// Stop does nothing.
func (*Node) Stop() error { return nil }
