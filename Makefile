# make demo, make test: each does all the set-up it needs. make help lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A file of exact versions, such as constraints.txt; empty: whatever fits.
CONSTRAINTS ?=
FIXED := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.DEFAULT_GOAL := help
.PHONY: help docs demo test test-slow test-ray test-browser test-deploy test-realdata audit faults sync lint types check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Consilium needs Python 3.11 or newer; try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV); this takes a few minutes the first time."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(FIXED) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(PIP) $(FIXED) --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed ## four synthetic hospitals, from nothing to plots and a summary
	@$(BIN)/consilium run configs/demo.toml

# Tests of a file stay in one process, since they share what the first of them made.
test: $(VENV)/installed-dev ## the default tests, in as many processes as the machine has cores, at most four
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/installed-dev ## the tests that take more than a few seconds each
	@$(BIN)/python -m pytest -m slow

test-ray: $(VENV)/installed-dev ## the tests that start a Ray cluster
	@$(BIN)/python -m pytest -m ray

test-browser: $(VENV)/installed-dev ## the run's page in headless Chromium; skipped if there is none
	@$(BIN)/python -m pytest -m browser

test-deploy: $(VENV)/installed-dev ## two hospitals on loopback, with TLS, one killed; minutes
	@$(BIN)/python -m pytest -m deploy

test-realdata: $(VENV)/installed-dev ## the tests on real CT; CONSILIUM_DATA names its folder
	@$(BIN)/python -m pytest -m realdata

docs: $(VENV)/installed-dev ## the documentation site, into build/site; fails on a broken link
	@$(BIN)/mkdocs build --strict --quiet

sync: $(VENV)/installed-dev ## write what follows from a new setting or method
	@$(BIN)/python -m federated.config.sync

lint: $(VENV)/installed-dev ## ruff, style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

# Peers' scripts need the peers, which have environments of their own.
types: $(VENV)/installed-dev ## mypy: the packages strictly, benchmarks for calls that would fail
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file= --python-version 3.11 --ignore-missing-imports \
		--follow-imports=silent --check-untyped-defs --exclude peer_ benchmarks

audit: $(VENV)/installed-dev ## known vulnerabilities of the versions in constraints.txt
	@$(BIN)/python .ci/audit.py

faults: $(VENV)/installed-dev ## a short run of the scripts that repeat what the project withstood
	@$(BIN)/python tests/fuzz_config.py 1500 1
	@$(BIN)/python tests/hostile_replies.py
	@$(BIN)/python tests/hostile_orders.py
	@$(BIN)/python tests/crash_points.py --every 45
	@$(BIN)/python tests/damage.py --every 9

check: lint types test test-slow test-ray test-deploy ## all of the above but real data

clean: ## remove what the targets made, but for runs/
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
