# Two commands: `make demo` and `make test`. Both work on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO ?= 0
# Tests read the real maps from here where they are; without them those tests skip and say so.
export LURAY_DATA ?= $(wildcard $(abspath ../shared/realdata))

.PHONY: demo test chaos bench lint explorer clean

# Byte code is left to the first import: for all packages it takes a minute. Only where imports may not keep theirs it is
# made here, as every worker would compile torch again.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
# uv takes a fifth of pip's time. Where it is not to be had or finds no packages, as it knows none of pip's settings, pip does it.
install = $(UV) $(1) || $(PIP) $(1)
# The lock was made for this platform. Others take the same versions from constraints.txt.
LOCKED := import platform, sys; sys.exit((sys.platform, platform.machine(), *sys.version_info[:2]) != ("linux", "x86_64", 3, 11))
LOCK := --no-deps --only-binary :all: --require-hashes --requirement infra/requirements.lock

# What luray runs with.
.venv/demo: pyproject.toml constraints.txt infra/requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "luray needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) --constraint constraints.txt uv || true
# torch by pip, whose settings may name a build for this machine: uv would not see it, and fetch 3 GB of CUDA.
	$(PIP) --no-deps --constraint constraints.txt torch
	if $(BIN)/python -c '$(LOCKED)'; then $(call install,$(LOCK)); fi
	$(call install,--constraint constraints.txt --editable .)
	touch $@

# And what it is tested with.
.venv/installed: pyproject.toml constraints.txt
	$(MAKE) .venv/demo
	$(call install,--constraint constraints.txt --editable '.[dev]')
	touch $@

demo: .venv/demo
	$(BIN)/luray demo

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

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
