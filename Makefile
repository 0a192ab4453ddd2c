# The commands of this repository. `make help` lists them.
SHELL       := /usr/bin/env bash -o pipefail
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO          ?= go
export GOFLAGS ?= -buildvcs=false
LDFLAGS     := -X main.version=$(VERSION)
GO_PACKAGES := ./...
# Tests that bring up a cluster each take cores and seconds: two packages at a time.
TEST_FLAGS  ?= -p 2 -timeout 40m
SOAK_FLAGS  ?= -p 1 -timeout 120m -v

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## the main job, for real, on this machine (KEEP=1 leaves it running)
	@echo "Building the demo (a first run downloads and compiles what it is made of, for some minutes) …"
	@$(GO) run ./hack/demo

.PHONY: test
test: ## every test, small counts
	@echo "Preparing (a first run compiles for some minutes) …"
	@assets="$$($(GO) run ./hack/cluster assets)" && nginx="$$($(GO) run ./hack/nginx/find)" && \
	KUBEBUILDER_ASSETS="$$assets" PATH="$$PATH:$$(dirname "$$nginx")" $(GO) test $(TEST_FLAGS) $(GO_PACKAGES)

.PHONY: soak
soak: ## the same tests with every count in full, then every fuzz target; prints the figures
	@assets="$$($(GO) run ./hack/cluster assets)" && nginx="$$($(GO) run ./hack/nginx/find)" && \
	KUBEBUILDER_ASSETS="$$assets" PATH="$$PATH:$$(dirname "$$nginx")" KEYTURN_SOAK=1 $(GO) test $(SOAK_FLAGS) $(GO_PACKAGES)
	@$(MAKE) --no-print-directory fuzz

.PHONY: fuzz
fuzz: ## every fuzz target, 10 million executions each, some hours (FUZZ_FLAGS='-n 100000 -match token' for a first look)
	@$(GO) run ./hack/fuzz $(FUZZ_FLAGS)

.PHONY: e2e
e2e: ## on a real kubelet with containers, under load and with faults (root on Linux; REQUIRE_E2E=1 fails where it cannot run)
	@nginx="$$($(GO) run ./hack/nginx/find)" && PATH="$$PATH:$$(dirname "$$nginx")" \
	$(GO) test -tags realnode -p 1 -count=1 -timeout 30m -v -run 'RealNode|NextStart|Rehearsal' ./hack/cluster/local ./hack/rehearsal

.PHONY: bench
bench: ## performance against empty servers and raw cryptography, in one run, as ratios (some 12 minutes; BENCH_FLAGS=-h)
	@$(GO) run ./hack/bench $(BENCH_FLAGS)

.PHONY: build
build: ## the programs, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: image
image: ## the container image (needs docker or podman)
	$${CONTAINER_TOOL:-docker} build --build-arg VERSION=$(VERSION) -t ghcr.io/keyturn/keyturn:$(VERSION) .

.PHONY: generate
generate: ## deep copies, CRDs and the API reference from the types in api/, and the chart's copies of config/
	./hack/generate.sh
	./hack/helm/sync.sh

.PHONY: verify
verify: ## generated files, format, lint, module files, docs; fails on a dirty tree
	./hack/verify.sh

.PHONY: install
install: ## the CRDs, into the cluster of the current kubectl context
	kubectl apply --server-side -k config/crd

.PHONY: deploy
deploy: ## CRDs and operator, into the cluster of the current kubectl context
	kubectl apply --server-side -k config/default
