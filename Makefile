# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
#
# `make demo` and `make test` are all that a newcomer needs; each sets up what it uses. Nothing has to be activated.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
BIN := $(ROOT)/.venv/bin

# The provider of clusters: auto (kind when a container engine answers, else embedded), embedded or kind.
PROVIDER ?= auto
# Arguments passed on: `make demo ARGS=-v`, `make test ARGS="--only unit --keep-going"`.
ARGS ?=

# Where control-plane binaries are kept between runs and between checkouts.
CACHE := $(or $(TMC_CACHE_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tmc-cross-cluster)

# The first interpreter that really runs and is new enough; name another with `make PYTHON=... demo`.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)' 2>/dev/null && break; done)
endif

# What a person has set for other projects must not steer this one; what only changes the display may stay.
DISPLAY_SETTINGS := ANSIBLE_VERBOSITY ANSIBLE_NOCOLOR ANSIBLE_FORCE_COLOR ANSIBLE_DISPLAY_ARGS_TO_STDOUT
unexport $(filter-out $(DISPLAY_SETTINGS),$(filter ANSIBLE_% K8S_AUTH_% MOLECULE_%,$(.VARIABLES)))
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV
export ANSIBLE_HOME := $(ROOT)/.ansible
export ANSIBLE_CONFIG := $(ROOT)/ansible.cfg
export PATH := $(BIN):$(PATH)
# Ansible refuses to start where the locale's encoding is not UTF-8.
ifneq ($(shell locale charmap 2>/dev/null),UTF-8)
export LC_ALL := C.UTF-8
endif

.PHONY: help
help: ## This list
	@echo "make demo    the whole story on three real control planes (PROVIDER=$(PROVIDER): auto, embedded or kind)"
	@echo "make test    every gate; .ci/run does the same without a terminal"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(ROOT)/Makefile | expand -t 20

.PHONY: demo
demo: setup-demo ## Deploy the fabric, submit, watch, validate, clean up
	@cd $(ROOT) && $(BIN)/ansible-playbook playbooks/run-demo.yml -e tmc_provider=$(PROVIDER) $(ARGS)

.PHONY: test
test: setup-test ## All gates, then one summary
	@cd $(ROOT) && $(BIN)/python hack/test.py $(ARGS)

.PHONY: lint unit sanity integration molecule e2e
lint unit sanity integration molecule e2e: setup-test
	@cd $(ROOT) && $(BIN)/python hack/test.py --only $@ $(ARGS)
lint: ## The gates that only read: ruff, mypy, layers, yamllint, ansible-lint, docs, changelog
unit: ## pytest: runtime and plugins, no cluster
sanity: ## ansible-test sanity on an exported tree
integration: ## pytest on embedded control planes
molecule: ## molecule test: the roles bring up, prove and remove a fabric
e2e: ## one story from nothing to nothing, on embedded planes and on clusters of somebody else

.PHONY: test-kind
test-kind: setup-test ## The same story on real kind clusters (says why not where no container engine answers)
	@cd $(ROOT) && $(BIN)/python hack/test.py --only kind $(ARGS)

.PHONY: fuzz mutants
fuzz: setup-test ## Millions of the planner's answers judged, the small model searched in full (ARGS="--plans N")
	@cd $(ROOT) && $(BIN)/python hack/fuzz.py $(ARGS)
mutants: setup-test ## Plant bugs, one at a time: a test must go red for at least 95 % of them
	@cd $(ROOT) && $(BIN)/python hack/mutants.py $(ARGS)

.PHONY: validate
validate: setup-demo ## Prove that a fabric that is up really works (writes report.json)
	@cd $(ROOT) && $(BIN)/ansible-playbook playbooks/validate.yml $(ARGS)

.PHONY: bench
bench: setup-test ## Measure a throwaway fabric: tables and plots in benchmarks/results/ (ARGS=--quick for a short form)
	@cd $(ROOT) && TMC_CACHE_DIR="$(CACHE)" $(BIN)/python -m benchmarks $(ARGS)

.PHONY: faults
faults: setup-test ## Every fault at every write on three API servers: benchmarks/results/faults.json (about 40 min)
	@cd $(ROOT) && TMC_CACHE_DIR="$(CACHE)" $(BIN)/python -m tests.faults run --full \
		--output benchmarks/results/faults.json $(ARGS)

.PHONY: binaries
binaries: setup-demo ## Fetch or build the control-plane binaries into the cache
	@cd $(ROOT) && $(BIN)/python controlplane/binaries.py --cache "$(CACHE)" $(ARGS)

.PHONY: images
images: setup-demo ## Build the image of syncers and controllers (TMC_IMAGE_BASE: what it is built on), without any cluster
	@cd $(ROOT) && $(BIN)/ansible-playbook playbooks/images.yml $(ARGS)

.PHONY: setup-demo setup-test
setup-demo setup-test: setup-%: python
	@cd $(ROOT) && $(PYTHON) hack/setup.py $*

.PHONY: python
python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: no Python 3.11 or newer found (tried python3, python3.11 ... python3.14). Install one, or say where:" \
			"make PYTHON=/path/to/python3.12 demo" >&2; exit 1; fi

.PHONY: clean
clean: ## Remove what make put into this checkout (not the cache of binaries, not a running fabric)
	rm -rf $(ROOT)/.venv $(ROOT)/.cache $(ROOT)/.ansible $(ROOT)/build $(ROOT)/tests/output
	rm -f $(ROOT)/tmc-cross_cluster-*.tar.gz
