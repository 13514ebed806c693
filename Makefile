# Everything a clone needs: python3, make, git. Each target sets up what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tests start many processes: without bytecode, each one would compile merflow anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest

.PHONY: demo test test-slow test-crash test-pythons check format coverage bench docs browser lock install clean

demo: $(STAMP)  ## five real clips from media to exports, in a few minutes
	$(BIN)/merflow demo

test: $(STAMP)  ## the fast tests, in random order; the seed is printed
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder --durations=10 -m "not slow and not weights"

test-slow: $(STAMP)  ## the tests that take minutes
	$(PYTEST) -m slow

test-crash: $(STAMP)  ## kills at random moments, two of each kind; the same command must make it whole
	$(BIN)/python -m benchmarks.crash --kills 2

test-pythons:  ## the fast tests on every other supported Python that is installed
	@for python in python3.12 python3.13; do \
		if $$python -c '' 2> /dev/null; then $(MAKE) PYTHON=$$python VENV=.venv-$$python test || exit 1; \
		else echo "$$python is not installed: not tested"; fi; done

check: $(STAMP)  ## lint, types, layering, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs configs storage extractors flows tests benchmarks examples

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(STAMP)  ## line coverage of the fast tests; no gate
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow and not weights" \
		--cov=configs --cov=storage --cov=extractors --cov=flows --cov-report=term:skip-covered

docs: $(STAMP)  ## docs/reference.md from the code, and the pages, in build/site; warnings are errors
	$(BIN)/python -m flows.reference docs/reference.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

browser:  ## Debian's Chromium, for the tests that open reports
	apt-get install -y -q chromium chromium-driver

bench: $(STAMP)  ## one JSON line per benchmark
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

install: $(STAMP)

# Locked, hashed and compiled: imports of uncompiled bytecode take a minute, and PYTHONDONTWRITEBYTECODE would leave
# it uncompiled. The lock is complete, so pip resolves nothing (--no-deps): older pips look for newer versions of what
# another package wants with extras, and then miss their hashes.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12), (3, 13)])' \
		|| { echo "merflow needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true
	touch $@

lock: $(STAMP)  ## resolve pyproject.toml again, for every platform, with hashes and without index addresses
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock

clean:
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
