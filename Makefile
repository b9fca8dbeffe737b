# Two commands do everything on a machine with Python and make: `make demo` and `make test`.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
RUNS ?= 3
BIN := $(VENV)/bin

.PHONY: help demo test check bench docs format clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

# uv installs several times faster than pip; where it cannot be had, pip does the same. Both
# compile, so that the first start is as quick as the next.
$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"cliptune needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "uv is not to be had; using pip"

define install
	if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --editable '$(1)'
	else $(BIN)/python -m pip install --disable-pip-version-check --editable '$(1)'; fi
endef

$(VENV)/.demo-installed: pyproject.toml | $(BIN)/python
	$(call install,.[demo])
	touch $@

$(VENV)/.dev-installed: pyproject.toml | $(BIN)/python
	$(call install,.[dev])
	touch $@ $(VENV)/.demo-installed

demo: $(VENV)/.demo-installed ## a small study of real images, set-up included; ends with its report
	$(BIN)/cliptune study textile --budget 4m
	echo "To look, label, re-fit and prove on the same images: $(BIN)/cliptune app textile"

test: $(VENV)/.dev-installed ## the whole test suite, set-up included
	if [ ! -d node_modules/axe-core ] && command -v npm > /dev/null; then npm install --no-save --no-package-lock --silent axe-core || echo "axe-core is not to be had; one check is left out"; fi
	$(BIN)/python -m compileall -q src  # for the processes that tests start, where Python writes none itself
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

check: $(VENV)/.dev-installed ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev-installed ## ours beside its peers in one run; prints ratios (RUNS=1: quicker)
	$(BIN)/python bench/run.py --runs $(RUNS)

docs: $(VENV)/.dev-installed ## the documentation site, into site/
	$(BIN)/mkdocs build --strict --quiet
	echo "site/index.html"

format: $(VENV)/.dev-installed ## put every file into the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what was built; data, caches and runs stay
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
