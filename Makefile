# `make` alone lists what there is. Needs git and a Python 3 with its venv module, and nothing that is installed by hand.

UV := $(shell command -v uv || echo .uv/bin/uv)
PYTHON ?= python3
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run up test nightly lint types check bench audit clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "  make %-9s %s\n", $$1, $$2}'

run: $(UV) ## Start everything with the demo organization, play the story, keep serving (Ctrl-C stops)
	$(UV) run --quiet python manage.py up --demo

up: $(UV) ## Start everything, empty, and print a link that creates the first administrator
	$(UV) run --quiet python manage.py up

test: $(UV) ## Run the whole suite but what takes minutes
	$(UV) run --quiet pytest -q -n $(PYTEST_WORKERS) --dist loadgroup -m "not slow"

again: $(UV) ## Run what failed in the last run once more, one test at a time
	$(UV) run --quiet pytest -q --last-failed --last-failed-no-failures none -m "not slow"

nightly: $(UV) ## Run the whole suite with what takes minutes
	$(UV) run --quiet pytest -q -n $(PYTEST_WORKERS) --dist loadgroup

lint: $(UV) ## Check style, format, and that each floor imports only floors below it
	$(UV) run --quiet ruff check .
	$(UV) run --quiet ruff format --check .
	$(UV) run --quiet lint-imports

types: $(UV) ## Check the types
	$(UV) run --quiet mypy .

check: lint types ## Everything that needs no test run: lint, types, migrations, production settings
	$(UV) run --quiet python manage.py makemigrations --check --dry-run
	$(UV) run --quiet python -m tests.production_settings

bench: $(UV) ## Measure the gateway against a bare pass-through, the policy engine, and sealing
	$(UV) run --quiet python -m benchmarks

audit: $(UV) ## Look the locked dependencies up in the advisory databases (needs the network)
	$(UV) export --quiet --no-emit-project --format requirements-txt | $(UV) run --quiet pip-audit --disable-pip -r /dev/stdin

clean: ## Remove what was built here: environment, caches, the embedded servers' data
	rm -rf .venv .uv .kontext .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles

.uv/bin/uv:
	$(PYTHON) .ci/fetch_uv.py .uv
