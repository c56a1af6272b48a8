# `make run` and `make test` set up all that they need, on a machine that has only Python 3.11 or newer.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: setup run test check bench torture docs clean lock

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Skytrail needs Python 3.11 or newer: make PYTHON=python3.11")'
	@echo 'Setting up $(VENV): about a minute ...'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	$(BIN)/skytrail serve $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check tests/clients/node_modules/.installed
	@scripts/install-aws-cli-2
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# The AWS SDK for JavaScript, by the Node.js that comes with the environment.
tests/clients/node_modules/.installed: tests/clients/package-lock.json $(VENV)/.installed
	cd tests/clients && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent
	touch $@

torture: setup
	$(BIN)/python -m tests.torture --rounds 200 $(ARGS)

bench: setup
	$(BIN)/python -m bench $(ARGS)

docs: setup
	$(BIN)/python -m scripts.coverage --write

# Newest versions that satisfy pyproject.toml, with hashes, for Linux and macOS.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --extra dev \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/clients/node_modules src/*.egg-info
