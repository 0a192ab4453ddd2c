#!/usr/bin/env bash
# Copies what the chart shares with config/ into the chart, because Helm reads nothing outside of it: the CRDs as they
# are, and of each role its rules with their reasons. `make verify` runs it, so the two cannot drift.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
chart=charts/keyturn/files

rm -rf "$chart/crds" "$chart/rbac"
mkdir -p "$chart/crds" "$chart/rbac"
cp config/crd/bases/*.yaml "$chart/crds/"

# In each document of a file, "name:" comes before "rules:", and rules: is its last member.
awk -v out="$chart/rbac" '
  FNR == 1 || /^---/ { name = ""; rules = 0 }
  /^---/             { next }
  name == "" && /^  name: / { name = $2 }
  /^[a-zA-Z]/        { rules = /^rules:/; next }
  rules              { print > (out "/" name ".yaml") }
' config/rbac/*_role.yaml config/rbac/*_roles.yaml
