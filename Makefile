# `make demo` and `make test` each set up all they need in .venv on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-all lint docs clean system

help:
	@echo "make demo      futures by the plain and the paired model, scored, on one page"
	@echo "make test      format, lint, types and the quick tests"
	@echo "make test-all  the slow tests too"
	@echo "make docs      build the documentation strictly"

system:
	@$(PYTHON) .ci/check_system.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: system $(STAMP)
	$(BIN)/worldsim demo out=outputs/demo

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: system lint
	$(BIN)/pytest -n 2

test-all: system lint
	$(BIN)/pytest -m "slow or not slow" --timeout 3600

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) outputs site
