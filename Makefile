# Thin names for the commands of this project. `make help` lists them.
# LLMOPS_CACHE and LLMOPS_STATE say where slow artefacts and labs are kept (default: ~/.cache and ~/.local/state).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

LLMOPS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llmops-cluster
LLMOPS_STATE ?= $(or $(XDG_STATE_HOME),$(HOME)/.local/state)/llmops-cluster
export LLMOPS_CACHE LLMOPS_STATE

# The lab makes containers and bridges, so it runs as root; sudo is asked when you are not.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=LLMOPS_CACHE,LLMOPS_STATE,LLMOPS_LAB_SUBNET,HOME)
BIN := $(CURDIR)/.venv/bin
LAB := $(ROOT) env PATH="$(BIN):$$PATH" $(BIN)/python -m lab

GROUPS_OF_stream-1 := lint sanity unit aws-quick molecule-quick
GROUPS_OF_stream-2 := lab-quick faults-quick

.PHONY: .test-stream-1 .test-stream-2 help demo demo-down demo-env demo-status venv test test-lint test-sanity test-unit test-all test-molecule test-molecule-quick test-lab test-lab-quick test-packages test-isolation test-serving test-serving-quick test-aws test-aws-quick test-faults test-faults-quick bench clean-cache

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' Makefile

demo: venv ## A cluster and a served model on this machine, no GPU needed; again: changes nothing
	@$(LAB) demo

demo-down: ## Remove all that the demo made (the cache stays: make clean-cache)
	@if [ -x $(BIN)/python ]; then $(LAB) down; else echo "No demo here: .venv is missing."; fi

demo-env: ## Print OPENAI_BASE_URL and OPENAI_API_KEY for eval: eval "$(make -s demo-env)"
	@$(LAB) env

demo-status: ## The containers of the demo
	@$(LAB) status

venv: ## Install the packages and Python tools that the other commands need
	@lab/bootstrap.sh

# Two streams side by side, for much of either is waiting. The output of a group comes when it has ended.
test: venv ## The tests of every change: about an hour
	@$(MAKE) --jobs=2 --output-sync=line .test-stream-1 .test-stream-2

.test-stream-1 .test-stream-2:
	@for group in $(GROUPS_OF_$(@:.test-%=%)); do echo "make test-$$group ..."; $(MAKE) "test-$$group"; done

test-all: test-lint test-sanity test-unit test-aws test-molecule test-lab test-isolation test-faults ## All tests: some hours

test-lint: venv ## ruff, mypy, yamllint, ansible-lint, changelog and documentation
	@tests/run lint

test-sanity: venv ## ansible-test sanity and units
	@tests/run sanity

test-unit: venv ## Tests that need no host
	@tests/run unit

test-molecule: venv ## Roles and playbooks of Slurm on hosts of their own: every scenario
	@$(ROOT) tests/run molecule

test-molecule-quick: venv ## The scenarios munge, slurm and recover
	@$(ROOT) tests/run molecule munge slurm recover

test-lab: venv ## Everything, end to end, on labs of their own
	@$(ROOT) tests/run lab

test-lab-quick: venv ## The same without the tests marked slow
	@$(ROOT) tests/run lab -m "not slow"

test-serving: venv ## Models over several nodes: every topology that a CPU can run, on two hosts (part of test-lab)
	@$(ROOT) tests/run serving

test-serving-quick: venv ## The same without the tests marked slow
	@$(ROOT) tests/run serving -m "not slow"

test-packages: venv ## What depends on the release of Slurm, with Debian's packages of a newer one (part of test-lab)
	@$(ROOT) tests/run packages

test-isolation: venv ## What confines a job, on an emulated machine with cgroup v2 (not part of `make test`)
	@$(ROOT) tests/run isolation

test-aws: venv ## AWS on an emulated account: every call gone wrong, and from nothing to a chat answer
	@$(ROOT) tests/run aws

test-aws-quick: venv ## The same without the tests marked slow
	@$(ROOT) tests/run aws -m "not slow"

test-faults: venv ## Every injected fault, beside a plain sbatch-and-retry script; writes build/faults.json
	@$(ROOT) tests/run faults

test-faults-quick: venv ## Some injected faults of every class, in minutes
	@$(ROOT) tests/run faults-quick

bench: venv ## Measure the figures of docs/figures.md; writes build/bench.json
	@$(ROOT) tests/run bench

clean-cache: ## Remove what is cached: host images, Slurm and engine builds
	@$(ROOT) rm -rf "$(LLMOPS_CACHE)"
