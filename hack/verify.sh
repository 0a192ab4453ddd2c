#!/usr/bin/env bash
# What must be true of the tree besides the tests: generated files are what the generators make, everything is
# formatted, the linter agrees, the module files are tidy. Fails on a tree that the checks would change.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n-- %s\n' "$*"; }
changed() { git status --porcelain -- "$@"; }

before=$(git status --porcelain)
if [ -n "$before" ]; then
  printf 'verify: the tree is dirty, commit or stash first:\n%s\n' "$before" >&2
  exit 1
fi

step "generated files: deep copies and CRDs, and the chart's copies of config/"
./hack/generate.sh
./hack/helm/sync.sh

step "format"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
  printf 'verify: run gofmt -w on:\n%s\n' "$unformatted" >&2
  exit 1
fi

step "module files"
go mod tidy

step "vet"
go vet ./...
go vet -tags envoy ./docs/ingress # its test runs where there is an Envoy only

step "lint (the first run builds the linter from its pinned module, some minutes on two cores)"
bin=${KEYTURN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyturn}/lint
mkdir -p "$bin"
(cd hack/lint && CGO_ENABLED=0 go build -o "$bin/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
"$bin/golangci-lint" run --allow-parallel-runners

step "shape: file sizes and names that say nothing"
./hack/shape.sh

step "coverage of the auth core"
./hack/coverage.sh

after=$(git status --porcelain)
if [ -n "$after" ]; then
  printf 'verify: the checks changed these files, commit them:\n%s\n' "$after" >&2
  git --no-pager diff --stat >&2
  exit 1
fi
printf '\nverify: everything is in order\n'
