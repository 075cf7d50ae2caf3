# Each target sets up what it needs, on Debian 12 or with a Nix that has its
# development files.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build plugin plugin-nix26 demo test test-tools test-nix26 test-c-api test-valgrind bench bench-core fuzz lint

# The paths of Nix, its headers and the registry server.
env := source scripts/env.sh
target := $(or $(CARGO_TARGET_DIR),target)

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## Install missing dependencies (Debian 12), or list them
	@scripts/setup

build: plugin ## Build the command and the plugin
	cargo build --release --locked

plugin: setup ## Build the Nix plugin: target/plugin/lib/nix/plugins/libnix_oci_hashes.so
	scripts/build-plugin

plugin-nix26: plugin ## Build the plugin for Nix 2.26.3 too; builds that Nix first (15 minutes, once)
	@scripts/setup-nix26
	NIX_OCI_HASHES_NIX=2.26 scripts/build-plugin

demo: setup ## See it work: a registry, a refresh, and builtins.ociHash in Nix
	@scripts/demo

test-tools:
	@scripts/setup strace ip podman skopeo runc zstd busybox dockerd chromium chromedriver
	@scripts/setup-axe

# More threads than cores: many tests wait for a registry, a timeout or a child process.
tests = RUST_TEST_THREADS=$$((2 * $$(nproc))) NIX_OCI_HASHES_PLUGIN="$$(realpath $(target))/plugin/lib/nix/plugins/libnix_oci_hashes.so" \
  NIX_OCI_HASHES_AXE="$$axe" cargo test --locked

test: plugin test-tools ## Run every test, those with a real Nix, registry and browser too
	$(env) && $(tests) --features system-tests

test-nix26: plugin-nix26 test-tools ## Run the tests of the builtin on Nix 2.26.3, and of the loader on both
	$(env) && export NIX_OCI_HASHES_OTHER_NIX="$$(command -v nix)" && \
	  export NIX_OCI_HASHES_NIX=2.26 && $(env) && \
	  $(tests) --features nix26-tests --test system -- docs:: docs_shell:: flake:: loader:: loader_versions:: \
	    nix:: plain:: resolve:: robust:: settings:: store:: tables::

test-c-api: ## Run the tests of the build for Nix's C API on the nix in PATH, 2.35 or later
	$(env) && scripts/build-plugin c-api && $(tests) --features c-api-tests --test system -- c_api::

test-valgrind: plugin ## Run the tests of the builtin under valgrind (a quarter of an hour)
	scripts/test-valgrind

# Without BENCH, all of them.
needs_renovate = $(if $(BENCH),$(filter renovate,$(BENCH)),renovate)

bench: build ## Compare with other tools, and write docs/benchmarks.md (twenty-five minutes)
	@scripts/setup skopeo podman runc time chromium chromedriver $(if $(needs_renovate),node npm)
	@$(if $(needs_renovate),scripts/setup-renovate)
	$(env) && export NIX_OCI_HASHES_PLUGIN="$$(realpath $(target))/plugin/lib/nix/plugins/libnix_oci_hashes.so" \
	  NIX_OCI_HASHES_COMMAND="$$(realpath $(target))/release/nix-oci-hashes" NIX_OCI_HASHES_RENOVATE="$$renovate" && \
	  cargo bench --locked --target-dir $(target)/bench --features system-tests --bench peers -- $(BENCH)

bench-core: ## Measure the steps of lookups and refreshes with Criterion
	cargo bench --locked --target-dir $(target)/bench --bench core

fuzz: ## Run each fuzz target for a minute
	scripts/fuzz

lint: ## Check the format and the style of everything
	@scripts/setup clang-format shellcheck
	@scripts/setup-lint
	cargo fmt --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --all-targets --features nix26-tests,c-api-tests -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	RUSTFLAGS="--cfg fuzzing" cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir $(target)/fuzz -- -D warnings
	$(env) && cargo clippy --locked --lib --no-default-features --features plugin -- -D warnings
	$(env) && cargo deny --log-level error check licenses bans sources
	clang-format --dry-run --Werror cpp/*.h cpp/*.cc cpp/*.c tests/nix/*.cc
	cc -std=c11 -Wall -Wextra -Werror -fsyntax-only cpp/*.c
	shellcheck -x scripts/* .ci/run
	$(env) && git ls-files '*.nix' | xargs nixfmt --check
	$(env) && git ls-files '*.nix' | xargs deadnix --fail
	$(env) && check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(env) && check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(env) && check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/{bug,image}.yml
	$(env) && check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(env) && check-jsonschema --builtin-schema vendor.gitlab-ci docs/examples/gitlab-ci.yml
	$(env) && sed -n '/^```yaml/,/^```/{//!p}' docs/ci.md | check-jsonschema --default-filetype yaml --builtin-schema vendor.github-workflows -
	$(env) && zizmor --offline --quiet .github action.yml
