# Each target does its own set-up: on a fresh Debian 12, or anywhere that has
# Nix 2.8 with its development files, `make demo` and `make test` are all there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build plugin demo test lint

# Where Nix, its headers and the registry server are.
env := source scripts/env.sh
target := $(or $(CARGO_TARGET_DIR),target)

help: ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Install what is missing (Debian 12), or say what is
	@scripts/setup

build: plugin ## Build the command and the plugin
	cargo build --release --locked

plugin: setup ## Build the Nix plugin: target/release/libnix_oci_hashes.so
	$(env) && cargo rustc --release --locked --lib --crate-type cdylib \
	  --no-default-features --features plugin

demo: setup ## See it work: a registry, a refresh, and builtins.ociHash in Nix
	@scripts/demo

test: plugin ## Run every test, those with a real Nix and a real registry too
	$(env) && NIX_OCI_HASHES_PLUGIN="$$(realpath $(target))/release/libnix_oci_hashes.so" \
	  cargo test --locked --features system-tests

lint: ## Check the format and the style of everything
	@scripts/setup clang-format shellcheck
	cargo fmt --check
	cargo clippy --locked --all-targets --features system-tests -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	$(env) && cargo clippy --locked --lib --no-default-features --features plugin -- -D warnings
	clang-format --dry-run --Werror cpp/*.h cpp/*.cc
	shellcheck -x scripts/* .ci/run
