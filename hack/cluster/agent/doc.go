// Package agent is a small node agent: it plays the kubelet and kube-proxy for the pods of one local
// cluster and runs their containers as plain processes of this machine. It is a tool for trying and
// testing, so that operators, probes, rolling updates, mounted Secrets and Services can be used where
// there is no root and no container runtime. Never point it at a cluster that matters.
//
//	API server ◀── watch ── Agent ──┬── bind.go, node.go    one Node, its Lease, binding of new pods
//	                                ├── pod.go              one goroutine a pod: mount, start, watch, stop
//	                                │     ├── container.go    one goroutine a container: start, restart
//	                                │     ├── probe.go        readiness, liveness, startup
//	                                │     └── volume.go       Secrets, ConfigMaps, projections, claims
//	                                ├── service.go          listens on ClusterIPs, forwards to ready pods
//	                                ├── claim.go            StorageClass "local": a directory a claim
//	                                └── logserver.go        what `kubectl logs` asks
//
// # What it does as a kubelet does
//
// Order of init containers and sidecars, restart policy, back-off and restart counts, probes with their
// thresholds and periods, preStop and postStart, grace periods, conditions and phases, Events,
// $(VAR) expansion, environment of Services, and mounted Secrets and ConfigMaps: written into a
// time-stamped directory and swapped by one rename of the link ..data; refreshed when the pod's own
// metadata or specification changes and when a container starts, otherwise once in Options.SyncPeriod.
//
// # What it does differently
//
// All containers of all pods share the network, the file system, the users and the process table of this
// machine. There is no isolation, no image, no resource limit, no security context, no NetworkPolicy, no
// DNS, no UDP, NodePort or session affinity. Node selectors, affinity, taints and priorities are ignored:
// every pod is bound. fsGroup, subPathExpr, ephemeral containers, the termination message file, exec,
// attach and port-forward are not there. To make programs work nevertheless:
//
//   - The program is command[0], or the image's name when there is no command: its base name is looked
//     up in Options.BinDir; an absolute path is taken as it is when it exists there. Options.Images
//     overrides it for an image.
//   - Each pod has an address of its own in 127.0.0.0/8. KEYTURN_BIND_ADDRESS holds it: a program must
//     listen there and not on all addresses, or two pods with one port collide.
//   - In arguments and environment values, the mount path of a volume is replaced by the directory that
//     holds it. Files that name paths are not edited.
//   - In arguments and environment values, the name of a Service (name.namespace.svc, also with
//     .cluster.local) is replaced by its ClusterIP. Left alone is a value whose flag or variable name
//     ends in "server-name" or "SERVER_NAME", because that is a name in a certificate.
//   - A pod whose service account token is not switched off gets KUBECONFIG, because the fixed path of
//     the in-cluster files cannot be mounted.
//   - Connections to a ClusterIP are forwarded by this process. When the chosen pod refuses, the others
//     are tried before the client is reset. With no ready pod nothing listens, so a client is refused.
//   - In the first period of a container, a failing startup or readiness probe is repeated every 100 ms and
//     not counted, so that a pod is ready when its program is, and not up to a period later.
//   - Secrets and ConfigMaps are read from the API server at each refresh; there is no watch and no cache.
//   - When the agent stops, or dies in whatever way, the processes die; pods that it finds at its next
//     start are reported lost.
package agent
