# Tidegate. `make run` shows it, `make test` proves it; `make help` lists the rest.

CARGO ?= cargo
# The demo and the daily benches: optimised, without LTO, so that two cores finish in minutes.
QUICK = target/quick/tidegate
export PATH := $(CURDIR)/target/peers/bin:$(PATH)

.PHONY: help run run-consul build release deb test lint fmt doc bench bench-e2e bench-peers bench-scale soak clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

run: build ## build, and run the demo: two sample services behind the proxy, nothing to configure
	@$(QUICK) demo

run-consul: build ## the same with a real Consul agent and two registered services
	@.ci/consul
	@.ci/run-consul $(QUICK)

build: ## an optimised binary, quickly
	@.ci/packages build
	$(CARGO) build --profile quick

release: ## the binary to ship, built with a profile of its load and laid out by it; PGO=0: without, much sooner
	@.ci/packages build
	@CARGO="$(CARGO)" PGO="$(PGO)" BOLT="$(BOLT)" .ci/release

deb: release ## a Debian package of it, in target/debian/
	@.ci/packages deb
	@.ci/deb target/release/tidegate

test: ## the whole suite, with real Consul, Prometheus and systemd
	@.ci/packages test
	@.ci/consul
	@.ci/container tree
	@if command -v cargo-nextest >/dev/null; then \
	  $(CARGO) nextest run --no-fail-fast --test-threads $$(($$(nproc) * 2)) && $(CARGO) test --doc; \
	else \
	  $(CARGO) test; \
	fi

lint: ## format, clippy and documentation without a warning
	@.ci/packages build
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

fmt: ## format the code
	$(CARGO) fmt

doc: ## the manual: the crate's documentation
	$(CARGO) doc --no-deps --open

bench: ## instruction counts of the pure cores, against those that are kept (BLESS=1 keeps new ones), and times
	@.ci/packages bench
	@command -v gungraun-runner >/dev/null || \
	  $(CARGO) install --locked gungraun-runner --version 0.20.0 --root target/peers
	$(CARGO) bench --bench times
	$(CARGO) bench --bench cores >target/bench-cores.txt
	@awk -f benches/cores/table.awk target/bench-cores.txt >target/bench-cores.tsv
ifdef BLESS
	@{ echo "# $$(rustc -V)"; cat target/bench-cores.tsv; } >benches/cores/counts.tsv
endif
	@awk -v rustc="$$(rustc -V)" -f benches/cores/compare.awk benches/cores/counts.tsv target/bench-cores.tsv

bench-e2e: ## CPU time per request beside a bare Pingora proxy, in one run
	@.ci/packages bench
	$(CARGO) bench --bench e2e

bench-peers: ## CPU, latency and memory beside nginx, HAProxy, Envoy, Traefik and Caddy: PEERS="--rounds 3"
	@.ci/packages bench
	@benches/peers/install
	$(CARGO) bench --bench peers -- $(PEERS)

bench-scale: ## much of everything: 10,000 routes, 1,000 Consul services, all endpoints flapping: SCALE="--only idle"
	@.ci/packages bench
	$(CARGO) bench --bench scale -- $(SCALE)

soak: ## half an hour at 70 % load with endpoints that come and go: SOAK=30m
	@.ci/packages bench
	$(CARGO) bench --bench scale -- --soak $(or $(SOAK),30m)

clean: ## remove what was built
	$(CARGO) clean
