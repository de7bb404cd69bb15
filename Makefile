# Regime Trading. `make` lists the targets; `make run` and `make test` set themselves up.
# `make run PYTHON=python3.12` chooses the interpreter of a new environment (`make clean` removes the old one).
# A `.env` file, if there is one, is exported.

SHELL := /bin/sh
.DEFAULT_GOAL := help
-include .env
export

VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SHARE ?= 1
# the first interpreter new enough; `python3` where none is, so that the message below can say so
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
ifeq ($(strip $(PYTHON)),)
override PYTHON := python3
endif
KEY := $(shell cat requirements.lock pyproject.toml | cksum | tr -d ' ')
READY := $(VENV)/.ready-$(KEY)
NODE_READY := web/node_modules/.ready-$(shell cat web/package-lock.json | cksum | tr -d ' ')
PAGES := src/regime_trading/web/index.html

.PHONY: help run serve demo web web-types web-check shots lighthouse measure test test-full coverage mutants docs check format lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: $(READY)  ## the main job on real prices: last decision, then the history, then a report
	@$(BIN)/regime run
	@$(BIN)/regime backtest
	@echo
	@echo "Open the two reports named above in a browser. Then try:"
	@echo "  $(BIN)/regime run --as-of 2008-10-10                        decide on another day"
	@echo "  $(BIN)/regime run --symbols KO,PEP,XOM                      your own symbols, or --proposal with your own weights"
	@echo "  $(BIN)/regime backtest --from 2007-01-01 --to 2009-12-31    one crisis only"
	@echo "  $(BIN)/regime config explain north-pier/core risk.gross     where a limit comes from"

serve: $(PAGES)  ## build the command center and serve it (ARGS="--port 8001 ...")
	@$(BIN)/regime serve $(ARGS)

demo: $(PAGES)  ## the same over bundled prices, with people made for it
	@$(BIN)/regime serve --demo $(ARGS)

web: $(PAGES)  ## build the command center into the package (needs Node 20.19 or newer)

web-types: $(READY) $(NODE_READY)  ## write the types of the API for the command center again
	@$(BIN)/regime api openapi --to web/openapi.json
	@cd web && node scripts/types.mjs openapi.json

web-check: $(READY)  ## lint, types, unit tests of the command center, its byte budgets, and whether its types are the API's
	@if ! command -v npm >/dev/null; then echo "npm is not here: the command center is NOT checked"; else \
		$(MAKE) --no-print-directory $(NODE_READY) && $(BIN)/regime api openapi --to web/openapi.json >/dev/null && \
		cd web && node scripts/types.mjs openapi.json --check && npm run --silent check && npm run --silent test && \
		node scripts/budget.mjs --quiet; fi

shots: $(READY) web  ## pictures of every page, to be looked at: web/shots/index.html
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.web.shots web/shots

lighthouse: $(PAGES)  ## Lighthouse on every page of a demo of its own, beside the goals (RUNS=5, ROUTES="overview audit")
	@test -d web/tools/lighthouse/node_modules/lighthouse || \
		(cd web/tools/lighthouse && npm ci --no-audit --no-fund --loglevel=error)
	@$(BIN)/python -m tests.web.lighthouse

measure: $(PAGES)  ## how fast the command center is in a browser; REGIME_RESTARTS=100 servers are killed under it (minutes)
	@cd web && REGIME_MEASURE=1 node node_modules/@playwright/test/cli.js test e2e/measure.spec.ts

test: $(READY)  ## set up and run the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not full" -rs

test-full: $(READY)  ## every test in its long form; prints the figures that claims cite
	@REGIME_EXAMPLES=10000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -rsP

coverage: $(READY)  ## branch coverage of the guards; fails below 100 %
	@OMP_NUM_THREADS=1 $(BIN)/python -m coverage run --branch --source=src/regime_trading/guards \
		-m pytest -m "not full" tests/unit/guards tests/properties
	@$(BIN)/python -m coverage report --skip-covered --show-missing --fail-under=100

mutants: $(READY)  ## break the guards one line at a time and count what the tests see (hours; SHARE=0.02 for a sample)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants --jobs $(JOBS) --share $(SHARE)

docs: $(READY)  ## write the generated guides again (docs/guides/rules.md, scenarios.md, rl.md, commands.md)
	@$(BIN)/python -m tests.write_guides

check: $(READY)  ## lint, format, types, import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory web-check

format: $(READY)  ## rewrite the code in the house format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock:  ## resolve pyproject.toml into requirements.lock again (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv (https://docs.astral.sh/uv/)"; exit 2; }
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--all-extras pyproject.toml -o requirements.lock
	@echo "requirements.lock: $$(grep -c '==' requirements.lock) packages pinned"

clean:  ## remove the environment and the caches; results in artifacts/ stay
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage dist \
		web/node_modules src/regime_trading/web
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "removed the environment and the caches"

$(NODE_READY): web/package-lock.json
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(PAGES): $(READY) $(NODE_READY) $(shell find web -name node_modules -prune -o -type f ! -name openapi.json -print)
	@cd web && npm run --silent build > ../$(VENV)/web.log 2>&1 || { tail -30 ../$(VENV)/web.log; exit 1; }
	@touch $@

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Regime Trading needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -1)." \
			"Try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || { echo "set-up 1/3: environment in $(VENV) ($$($(PYTHON) --version))"; \
		rm -rf $(VENV); $(PYTHON) -m venv $(VENV) || { \
		echo "Could not create $(VENV): install the venv module (Debian, Ubuntu: python3-venv)."; exit 1; }; }
	@echo "set-up 2/3: packages pinned in requirements.lock (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
		-r requirements.lock > $(VENV)/set-up.log 2>&1 || { tail -20 $(VENV)/set-up.log; exit 1; }
	@echo "set-up 3/3: the package itself"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
		--no-build-isolation --editable . >> $(VENV)/set-up.log 2>&1 || { tail -20 $(VENV)/set-up.log; exit 1; }
	@rm -f $(VENV)/.ready-* && touch $@
