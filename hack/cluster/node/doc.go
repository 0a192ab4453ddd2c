// Package node runs one real Kubernetes node on this machine: containerd, runc, the CNI plugins, kubelet and kube-proxy.
// It is for tests that need what only a kubelet does. It needs Linux and root.
//
//	this machine                            │ the node: own mount, net, pid, uts, ipc and cgroup namespaces
//	                                        │
//	driver (this process) ── starts ────────┼─▶ process 1 ─┬─ containerd ── runc ── pods 10.214.n.0/24
//	   │  └─ 10.215.n.1:6443 ─▶ API server  │              ├─ kubelet
//	   │                                    │              └─ kube-proxy: services 10.213.16n.0/20
//	   └─ sweeper           veth kt-node-n ─┼─ eth0 10.215.n.2
//
// # Nothing is left behind
//
// Whatever the node makes lives in its namespaces: links, routes, firewall rules, mounts, sysctls. What it writes
// outside of Options.Dir goes to a file system in memory. So killing process 1 removes the node, and the kernel kills
// process 1 when the driver dies, in whatever way. What cannot live in a namespace are the cgroups: they are one
// subtree named after the node. A second process, the sweeper, waits for the end of the driver in a session of its own
// and removes them; the next Start sweeps too, in case even the sweeper was killed.
//
// # Addresses
//
// n is the slot, which keeps several nodes on one machine apart. The machine reaches pods and Services through the
// veth, and pods see the machine as Options.Network.Host. There is no DNS in the cluster and no way from a pod to the
// internet. NetworkPolicies are accepted and not enforced, as with every plain bridge.
//
// # One program, three roles
//
// Process 1 and the sweeper are this very program, started again under another name: see role_linux.go. So a program
// that links this package needs no other file.
package node
