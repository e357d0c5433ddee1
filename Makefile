# Every target does its own set-up: an environment in .venv, made by uv where it is present and
# otherwise by venv and pip. Only GNU make and Python >= 3.11 are needed (PYTHON=... picks one).

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # a demo must not start while `test` installs into the same environment
.PHONY: help demo serve quick test lint bench gpu-check wheels docs clean

BIN := .venv/bin
# What was installed, as stamps: written last, so an interrupted installation is done again.
BASE := .venv/installed-base
DEV := .venv/installed-dev
BENCH := .venv/installed-bench
SERVE := .venv/installed-serve
GPU := .venv/installed-gpu
WHEELS := .venv/installed-wheels
DOCS := .venv/installed-docs
# What `make bench` measures, and the folder that it writes to.
TIER := standard
RESULTS := bench-results
# Where `make serve` keeps its data and listens.
DATA := gpu-kmeans-data
PORT := 8000
# The extra that fits the driver: cu13 (580 or newer) or cu12.
CUDA := cu13

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

demo: $(BASE) ## Cluster the bundled sample and recommend from it
	$(BIN)/gpu-kmeans demo
	@echo
	@echo "The command is $(BIN)/gpu-kmeans; after \`. $(BIN)/activate\` it is gpu-kmeans."

serve: $(SERVE) ## Fit the bundled sample and serve it with its page (DATA=gpu-kmeans-data PORT=8000)
	$(BIN)/gpu-kmeans serve --sample --data "$(DATA)" --port $(PORT)

quick: $(DEV) ## Run the tests that take less than a minute together
	$(BIN)/python -m pytest -m "not slow"

test: lint ## Lint, type-check and test
	$(BIN)/python -m pytest

lint: $(DEV) ## Lint, check the format and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

bench: $(BENCH) ## Measure this package and its peers (TIER=standard, TMDB=FOLDER), and report
	$(BIN)/python -m bench run --tier $(TIER) --out $(RESULTS)/$(TIER).jsonl \
		$(if $(TMDB),--tmdb "$(TMDB)")
	$(BIN)/python -m bench report $(RESULTS)/$(TIER).jsonl

gpu-check: $(GPU) ## On a machine with an NVIDIA GPU: tests, parity with the CPU, measurements
	$(BIN)/python -m bench.gpu_check --out bench/results/gpu-check.json \
		$(if $(TMDB),--movies "$(TMDB)/tmdb_5000_movies.csv" --credits "$(TMDB)/tmdb_5000_credits.csv")

wheels: $(WHEELS) ## Make what is published into dist/: sdist, wheels for Linux (x86-64, ARM) and for all
	.ci/wheels dist

docs: $(DOCS) ## Build the documentation into build/site, links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean: ## Remove the environment and everything that was built
	rm -rf .venv gpu-kmeans-demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

comma := ,
# $(call install,REQUIREMENT)
define install
	@echo "Installing $(1) into .venv (the first time takes a minute or more)"
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --python $(BIN)/python --editable '$(1)'; \
	else \
		$(BIN)/python -m pip install --quiet --editable '$(1)'; \
	fi
	@touch $@
endef

$(BASE): pyproject.toml hatch_build.py $(wildcard cpu_fallback/kernels/*.[ch]) .venv/created
	$(call install,.)

$(DEV): $(BASE)
	$(call install,.[dev])

$(SERVE): $(BASE)
	$(call install,.[serve])

$(BENCH): $(BASE)
	$(call install,.[bench])

$(DOCS): $(BASE)
	$(call install,.[docs])

$(WHEELS): $(BASE)
	$(call install,.[wheels])

# All at once: what was installed before it would be newer than cuDF allows (pandas, numba, NumPy).
$(GPU): pyproject.toml hatch_build.py $(wildcard cpu_fallback/kernels/*.[ch]) .venv/created
	$(call install,.[dev$(comma)$(CUDA)])

# Without uv: the first Python that is new enough and can make an environment with pip in it.
.venv/created:
	@rm -rf .venv
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --seed --python "$${PYTHON:->=3.11}" .venv; \
	else \
		for python in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do \
			"$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
				>/dev/null 2>&1 && exec "$$python" -m venv .venv; \
		done; \
		echo "error: no Python >= 3.11 with the venv module among: $${PYTHON:-python3, python3.11 to 3.14}." >&2; \
		echo "Install one, or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; \
	fi
	@touch $@
