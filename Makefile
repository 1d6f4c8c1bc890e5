# `make demo` and `make test` start from nothing but Python 3.11 or newer.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
# Processes that share the fast tests, file by file.
WORKERS ?= 2
# Of `make demo`: its run folder; QUICK=1 for a first look; SEED for another run of the same.
RUN ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)
RUN := $(RUN)
SEED ?=
QUICK ?=

.PHONY: help setup demo test lint types contracts unit test-slow bench docs lock clean

help:
	@echo 'make demo       a real sweep on a small task, to its winner and its page (minutes);'
	@echo '                QUICK=1 for a first look, RUN=FOLDER and SEED=N for another one'
	@echo 'make test       lint, types, import contracts and the fast tests'
	@echo 'make test-slow  the tests that take longer'
	@echo 'make bench      one table of what it costs, beside what it is measured against'
	@echo 'make docs       the guide as a web site, in build/site'
	@echo 'make setup      only the environment, in .venv'
	@echo 'make lock       renew requirements.lock from pyproject.toml'

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

QUICKLY := --set search.trials=10 --set train.budget.flops=1.6e11 --set stability.candidates=2 \
	--set stability.budget=4 --set stability.promise_seeds=2

demo: DEMO := demo $(if $(QUICK),$(QUICKLY)) \
	$(if $(SEED),--set train.seed=$(SEED) --set search.seed=$(SEED))
demo: MORE := $(if $(QUICK),20,40)
demo: setup
	$(BIN)/trm sweep $(DEMO) --out $(RUN)
	$(BIN)/trm report $(RUN)
	@printf '\nthe page: %s\n\ngo on from here:\n  %s\n  %s\n  %s\n' "$(abspath $(RUN))/report.html" \
	  '$(BIN)/trm solve $(RUN) valid:0             # the winner solves a puzzle' \
	  '$(BIN)/trm sweep $(DEMO) --out $(RUN) --resume --trials $(MORE)' \
	  '$(BIN)/trm init FILE.csv > my.yaml          # your own data: inputs and labels'

test: lint types contracts unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest -n $(WORKERS)

test-slow: setup
	$(BIN)/python -m pytest -m slow

bench: setup
	$(BIN)/python -m tests.benchmarks

docs: setup
	$(BIN)/trm guide --write build/guide
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))\
	['project']['optional-dependencies']['docs'], sep='\n')" > build/docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r build/docs.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file search/guide/mkdocs.yml

# The +cpu build and the CUDA build of torch share one version: the pin must fit both.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet --editable '.[dashboard,dev,hub,images]'
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
