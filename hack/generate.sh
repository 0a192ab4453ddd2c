#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Generates what follows from the Go types of api/: the DeepCopy methods, the CRDs in config/crd/bases and the page
# docs/api-reference.md.
# RBAC is written by hand in config/rbac, because a generated role grows and nobody reads it.
#
# The generator is pinned in hack/tools/go.mod and built by Go; nothing else is fetched.
# Usage: hack/generate.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

controller_gen() { go tool -modfile=hack/tools/go.mod sigs.k8s.io/controller-tools/cmd/controller-gen "$@"; }

controller_gen object:headerFile=hack/boilerplate.go.txt paths=./api/...

# Into a directory of its own first: a CRD whose type has gone must go too, and a failure must leave the old ones.
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
controller_gen crd:generateEmbeddedObjectMeta=false paths=./api/... output:crd:dir="$fresh"
mkdir -p config/crd/bases
rm -f config/crd/bases/*.yaml
cp "$fresh"/*.yaml config/crd/bases/

go run ./hack/apidoc
