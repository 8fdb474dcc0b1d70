# Two commands: `make demo` and `make test`. Both work on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO ?= 0
# Tests read the real maps from here where they are; without them those tests skip and say so.
export LURAY_DATA ?= $(wildcard $(abspath ../shared/realdata))

.PHONY: demo test chaos bench lint explorer clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "luray needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/luray demo

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Hundreds of failures; prints its figures and writes build/chaos.json. One part: make chaos CHAOS="--part 'driver kills'"
chaos: .venv/installed
	$(BIN)/python -m tests.reliability.chaos $(CHAOS)

bench: .venv/installed
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Builds luray/explorer/page, which is committed: only who changes the page needs Node.js.
explorer:
	cd luray/explorer && npm ci --silent && npm run --silent build

clean:
	rm -rf .venv build luray/explorer/node_modules
