# Everything happens in $(VENV). Nothing here needs root, and nothing beyond Python 3.11+ and a package index.
.DEFAULT_GOAL := help
.PHONY: help install demo test check bench simulate mutate chaos soak pages lock

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# -qq: of pip's words, only the errors.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install --root-user-action=ignore
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## the bridge and what it needs, into .venv: .venv/bin/bridge

demo: $(VENV)/.installed ## the main job, for real, against the simulator (KEEP=1 leaves it running)
	@$(BIN)/bridge demo $(if $(KEEP),--keep)

# The whole suite waits more than it works: three processes on two cores. What is picked runs in one, and begins at once.
test: $(VENV)/.installed-dev ## the whole suite (ARGS="-k name" picks)
	$(BIN)/python -m pytest $(or $(ARGS),--numprocesses 3 --dist worksteal)

check: $(VENV)/.installed-dev ## format, lint, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev ## speed, memory and growth beside floors and peers, into docs/performance.md, in an hour (QUICK=1: told only, in two minutes)
	$(BIN)/python tests/bench

simulate: $(VENV)/.installed-dev ## the engine against every fault, by chance (SEEDS=1000 ENGINE=sqlite: what has not held at this commit, or FIRST=n: all from there; SEED=n tells a story)
	@PYTHONPATH=tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) \
		$(if $(FIRST),--first $(FIRST)) --engine $(or $(ENGINE),sqlite)

mutate: $(VENV)/.installed-dev ## each safeguard taken away in turn: how many seeds until that is seen
	@PYTHONPATH=tests $(BIN)/python -m simulation.mutations

chaos: $(VENV)/.installed-dev ## real processes killed at random under load (KILLS=1000: until so many held at this commit; or MINUTES=5; ENGINE=sqlite|postgresql)
	@PYTHONPATH=tests:tests/acceptance $(BIN)/python tests/acceptance/chaos.py --engine $(or $(ENGINE),sqlite) \
		$(if $(KILLS),--kills $(KILLS),--minutes $(or $(MINUTES),5))

soak: $(VENV)/.installed-dev ## real processes under load for long: losses, twins, memory, WAL, p99 (HOURS=1 ENGINE=…)
	@PYTHONPATH=tests:tests/acceptance $(BIN)/python tests/acceptance/endurance.py --engine $(or $(ENGINE),sqlite) \
		--hours $(or $(HOURS),1)

pages: $(VENV)/.installed-dev ## docs/sources/, from the mappings; what the guides show; deploy/verify_log.py
	@PYTHONPATH=tests $(BIN)/python tests/source_pages.py
	@PYTHONPATH=. $(BIN)/python tests/mapping_guide.py
	@cp bridge/log/verify.py deploy/verify_log.py
	@PYTHONPATH=.:tests:tests/unit $(BIN)/python tests/auditors_guide.py

lock: $(VENV)/.installed-dev ## requirements*.txt from pyproject.toml (UPGRADE=1: to the newest)
	$(LOCK) --group build -o requirements.txt pyproject.toml
	$(LOCK) --group build --group dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	$(LOCK) -o tests/bench/alerta-requirements.txt tests/bench/alerta.in

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the bridge needs ..."
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
