# `make` alone prints the targets. Everything runs in .venv, which is made from requirements.lock when it is missing.
PYTHON ?= python3
PROFILE ?= laptop
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup study test test-all experiments federation-demo lint lab doctor bench lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/.complete ## create .venv from the lock file

.venv/.complete: requirements.lock pyproject.toml
	@echo "Installing into .venv (about 7 GB, 2 to 5 minutes) ..."
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "UltraFM needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

study: setup ## run the whole study (PROFILE=laptop|smoke|..., ARGS="--seed 3"), print the report's path
	@$(BIN)/ultrafm study --profile $(PROFILE) $(ARGS)

test: setup ## run the tests, under 10 minutes
	$(BIN)/python -m pytest

test-all: setup ## run the slow tests too
	$(BIN)/python -m pytest -m "slow or not slow"

experiments: setup ## longer studies: ways of working together, choices of pre-training, designs of evaluation (three hours)
	@$(BIN)/ultrafm study --profile $(PROFILE) --only 10_curate,20_pretrain,evaluation_designs,distance_to_ideal,optimizer_state,federation_choices,pretraining_choices $(ARGS)

federation-demo: setup ## coordinator and four simulated sites on this machine, over TLS (two minutes)
	@$(BIN)/ultrafm federation demo

lint: setup ## check the style
	$(BIN)/ruff check ultrafm tests

lab: setup ## JupyterLab, opened on 00_start_here
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

doctor: setup ## check the installation
	$(BIN)/ultrafm doctor

bench: setup ## run the benchmarks, write reports/bench/*.json
	$(BIN)/python -m tests.bench

lock: ## resolve requirements.in anew (needs pip-tools)
	pip-compile --allow-unsafe --generate-hashes --no-emit-find-links --no-emit-index-url --strip-extras --output-file=requirements.lock requirements.in

clean: ## remove the reports of the profiles and caches; keep .venv and studies with names of their own
	rm -rf reports/bench $(patsubst notebooks/profiles/%.yaml,reports/%,$(wildcard notebooks/profiles/*.yaml))
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
