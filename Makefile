# `make` lists the targets. All that is needed beforehand: make, Python 3.11 and a package index.

VENV ?= .venv
CONFIG ?= configs/quickstart.yaml
PYTEST ?=  # further options of pytest, such as PYTEST="-k registry"
UPGRADE ?=  # options of `make lock`, such as UPGRADE=--upgrade

# The first command that is Python 3.11, unless one is given.
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$name" && break; done)

BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILE = $(BIN)/uv pip compile setup.py --quiet --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
	--constraints requirements/constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: help release setup test test-slow test-flink lint format lock clean

help: ## list the targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 12 | sed 's/^/  /'

release: $(READY) ## run one release from start to finish (CONFIG=configs/quickstart.yaml)
	$(BIN)/trillsson run $(CONFIG)

setup: $(READY) ## install the locked dependencies and the project into .venv

test: $(READY) ## run the tests, without the slow ones (PYTEST="-k registry")
	$(BIN)/pytest -m "not slow and not flink" $(PYTEST)

test-slow: $(READY) ## run the slow tests
	$(BIN)/pytest -m slow $(PYTEST)

test-flink: $(READY) ## run the data jobs on a Flink cluster whose machines die (needs root; brings it up and down)
	@for need in java:openjdk-17-jre-headless mvn:maven ip:iproute2; do \
		command -v "$${need%%:*}" >/dev/null || { apt-get update -qq && apt-get install -qq -y "$${need#*:}"; } || exit 1; done
	$(BIN)/pytest -m flink -s tests/pipelines/engine $(PYTEST)

lint: $(READY) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## put the code into its format and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# The other locks take their versions from dev.lock, so what is shipped is what is tested.
lock: | $(BIN)/uv ## write requirements/*.lock anew from setup.py (UPGRADE=--upgrade)
	$(COMPILE) $(UPGRADE) --extra dev --output-file requirements/dev.lock
	$(COMPILE) $(UPGRADE) --constraints requirements/dev.lock --output-file requirements/library.lock
	$(COMPILE) $(UPGRADE) --constraints requirements/dev.lock --extra pipelines --output-file requirements/pipelines.lock
	$(COMPILE) $(UPGRADE) --constraints requirements/dev.lock --extra gpu --output-file requirements/gpu.lock

clean: ## remove the environment and the tools' caches; work/ and registry/ stay
	rm -rf "$(VENV)" build trillsson.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made last: an install that was cut short is begun again. The lock is whole, so nothing is resolved: pip 23 takes a
# requirement with an extra for one without a pin as soon as there is a newer version.
$(READY): requirements/dev.lock setup.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "make: Python 3.11 is needed and $(or $(PYTHON),none) was found; name it with PYTHON=..." >&2; exit 2; }
	@echo "Installing the locked dependencies into $(VENV): a few minutes, 4 GB"
	@"$(PYTHON)" -m venv --clear "$(VENV)"
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/uv:
	$(MAKE) $(READY)
