// Package rbac holds the manager's rights as they are deployed, so that the manager can ask the API server whether it
// has them (manager check).
package rbac

import _ "embed" // for the manifests

// ManagerRole is manager_role.yaml: the ClusterRole keyturn-manager and its binding.
//
//go:embed manager_role.yaml
var ManagerRole []byte

// LeaderElectionRole is leader_election_role.yaml: the Role of the manager's own namespace and its binding.
//
//go:embed leader_election_role.yaml
var LeaderElectionRole []byte
