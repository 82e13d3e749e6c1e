# `make` lists what can be done. Everything runs in .venv, made from requirements/dev.txt when that changes.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MANAGE := $(BIN)/python manage.py
MARKED := stack or browser or peer or crash

export PYTHON

.DEFAULT_GOAL := help
.PHONY: help venv system peers demo test lint fmt types contracts migrations messages deploy-check unit marked \
        bench lock services-up services-down

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## Make .venv, or bring it up to requirements/dev.txt
	@scripts/venv

system: ## Install the few Debian packages that tests use (as root or in CI), or say what is left out
	@scripts/install-system

peers: venv ## Environments of their own for the libraries that we compare ourselves with
	@scripts/peer-venvs

demo: venv ## Sell a house with everything going wrong; ONCE=1 ends by itself
	$(MANAGE) demo $(if $(ONCE),--once)

test: venv system peers lint types contracts migrations messages deploy-check unit marked ## Everything CI runs

lint: venv ## Style, as ruff sees it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/list-settings --check

fmt: venv ## Repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv
	$(BIN)/mypy .

contracts: venv
	$(BIN)/lint-imports

migrations: venv services-up
	$(MANAGE) makemigrations --check --dry-run

messages: venv
	$(BIN)/python scripts/compile-messages --check

deploy-check: venv
	scripts/check-deploy

unit: venv services-up ## Tests without the running stack
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not ($(MARKED))"

marked: venv services-up ## Tests with the whole stack, a browser, peers and kills
	$(BIN)/python -m pytest -m "($(MARKED)) and not browser"
	$(BIN)/python -m pytest -m browser

bench: venv services-up ## Measure; ONLY=name for one figure
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

lock: venv ## Pin every dependency anew, with hashes
	scripts/lock

services-up: venv ## Start the embedded Postgres and Valkey
	@$(BIN)/python -m operations.devservices up

services-down: ## End them
	@test ! -x $(BIN)/python || $(BIN)/python -m operations.devservices down
