# Two commands on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= stillwatch-report
STORY ?= stillwatch-story
PYTEST := $(BIN)/python -m pytest -q

# As many threads as the smallest machine has cores; say more on a larger one.
export OMP_NUM_THREADS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore
# Tests start thousands of processes: without bytecode each of them compiles its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.SILENT:
.PHONY: help demo story test test-slow test-browser test-train test-train-slow test-spark check format docs range bench bench-gateway bench-state bench-prove screenshots lock dist clean distclean

help: ## Show what there is to make
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environment -----------------------------------------------------------------------------------------

$(BIN)/python:
	if [ -z "$(PYTHON)" ]; then \
		echo "Stillwatch needs Python 3.11 or newer; found $$(python3 --version 2>&1 || echo none)." >&2; \
		echo "Install one (Debian: apt-get install python3 python3-venv) or say which: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi
	echo "Making $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Could not make an environment. On Debian: apt-get install python3-venv" >&2; exit 1; }

# Four distributions of one source tree: each is installed as editable.
DISTRIBUTIONS := . $(wildcard distributions/*)
PROJECTS := $(DISTRIBUTIONS:%=%/pyproject.toml)

# The kernels are in C. A machine without a C compiler borrows PyPI's: 100 MB, gone again afterwards.
BORROWED := requirements-compiler.lock
define INSTALL
if command -v cc || command -v gcc || command -v clang; then borrowed=; else borrowed=yes; fi >/dev/null; \
	[ -z "$$borrowed" ] || $(BIN)/python -m pip install -q --require-hashes -r $(BORROWED); \
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e %) || exit 1; \
	[ -z "$$borrowed" ] || $(BIN)/python -m pip uninstall -q -y ziglang
endef

# The packages are installed editable, so a stamp is stale only when the locks or the metadata change.
# A dev environment holds the core as well: the core stamp then needs no second look.
# requirements.lock is what the core needs, and the other distributions need no more.
$(VENV)/.core: requirements.lock $(PROJECTS) | $(BIN)/python
	echo "Installing what requirements.lock names (a minute or two the first time)"
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	$(INSTALL)
	touch $@

$(VENV)/.dev: requirements-dev.lock $(PROJECTS) | $(BIN)/python
	echo "Installing what requirements-dev.lock names (a minute or two the first time)"
	$(BIN)/python -m pip install -q --require-hashes -r requirements-dev.lock
	$(INSTALL)
	touch $@ $(VENV)/.core

# Not locked: which build of PyTorch (CPU, CUDA) is right is the machine's matter, and its index's.
$(VENV)/.train: $(VENV)/.dev
	echo "Installing the extra train (PyTorch and what trains on it: a few minutes)"
	$(BIN)/python -m pip install -q --no-build-isolation -e 'distributions/distill[train]'
	touch $@

$(VENV)/.spark: $(VENV)/.dev
	echo "Installing the extra spark (half a gigabyte)"
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[spark]'
	touch $@

# The site's builder has an environment of its own: nothing else needs it.
build/docs/.done: requirements-docs.lock
	echo "Installing what requirements-docs.lock names"
	rm -rf build/docs && $(PYTHON) -m venv build/docs
	build/docs/bin/python -m pip install -q --require-hashes -r requirements-docs.lock
	touch $@

# --- for everybody ---------------------------------------------------------------------------------------

demo: $(VENV)/.core ## Install, scan the sample log, say which page to open
	$(BIN)/stillwatch scan sample/exchanges.parquet --accounts sample/accounts.parquet --out $(OUT)
	echo "Open $(abspath $(OUT))/index.html in a browser."

story: $(VENV)/.core ## Play the whole product with two installations: a log, a case, an alert, a block, an appeal, a proof, a ban
	$(BIN)/python examples/story/story.py $(STORY)

test: $(VENV)/.dev ## Run the fast tests (a minute and a half on two cores)
	$(PYTEST) -n 2 --dist loadfile -m "not slow and not browser and not train and not spark"

# --- for those who change it -----------------------------------------------------------------------------

# Three for two cores: they wait for servers most of the time.
# In the order of their names: files of many tests first would leave the long tests of few to one worker.
test-slow: $(VENV)/.dev ## Run the tests of a tenth of a second and more (half an hour)
	status=0; $(PYTEST) -m alone || status=1; \
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder -m "slow and not alone and not browser and not train and not spark" || status=1; \
	exit $$status

test-browser: $(VENV)/.dev ## Run the tests that look at the page in Debian's chromium
	$(PYTEST) -n 2 --dist loadfile -m browser

test-train: $(VENV)/.train ## Run the tests that train models
	$(PYTEST) -m "train and not slow"

test-train-slow: $(VENV)/.train ## Run those that train for minutes
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist load -m "train and slow"

test-spark: $(VENV)/.spark ## Run the tests on a Spark of two workers (two minutes; needs Java 17 or 21)
	$(PYTEST) -m spark

check: $(VENV)/.dev ## Format, lint, import layers, types
	$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'." >&2; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.dev ## Put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: build/docs/.done ## Build the documentation into build/site, without a network
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict > build/docs/log 2>&1 || { grep -v INFO build/docs/log >&2; exit 1; }
	echo "Open $(abspath build/site/index.html) in a browser."

range: $(VENV)/.dev ## Score a scan of the development scenes
	$(BIN)/python benchmarks/range.py

bench: $(VENV)/.dev ## Measure speed and memory, stage by stage
	$(BIN)/python benchmarks/speed.py

bench-gateway: $(VENV)/.dev ## Measure the gateway beside nginx, Envoy and LiteLLM's proxy, in turns
	$(BIN)/python benchmarks/gateway.py

bench-state: $(VENV)/.dev ## Let 1,000 things happen to the gateway's state; see that none is lost
	$(BIN)/python benchmarks/state_interleavings.py --n 1000
	$(BIN)/python benchmarks/state_interleavings.py --cases --n 1000

# In a folder of their own, without what they pull in beyond what they import here.
PEERS := knowlyr-modelaudit==0.4.1 model-equality-testing==0.0.2 matplotlib contourpy cycler fonttools kiwisolver \
	pillow pyparsing python-dateutil six
bench-prove: $(VENV)/.train ## Measure proof beside its peers, on ../shared/provenance and on models of our own
	[ -d build/peers ] || $(BIN)/python -m pip install -q --target build/peers --no-deps $(PEERS)
	$(BIN)/python benchmarks/prove.py --peers build/peers
	$(BIN)/python benchmarks/prove_coin.py --out build/prove-coin
	$(BIN)/python benchmarks/prove_mark.py --out build/prove-mark

screenshots: $(VENV)/.dev ## Redo the README's pictures from the sample log
	$(BIN)/stillwatch scan sample/exchanges.parquet --accounts sample/accounts.parquet --out $(OUT) > /dev/null
	$(BIN)/python benchmarks/screenshots.py $(OUT) docs/pictures

# The lock is made on a machine that reaches PyPI; the file names versions and hashes, never an index.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links pyproject.toml
lock: | $(BIN)/python ## Write the lock files anew from pyproject.toml
	rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/pip install -q uv
	build/lock/bin/$(LOCK) --upgrade --extra dev --extra otlp --extra clickhouse -o requirements-dev.lock
	printf 'hatchling\neditables\n' > build/lock/builders.in
	build/lock/bin/$(LOCK) build/lock/builders.in -c requirements-dev.lock -o requirements.lock
	printf 'psycopg[binary]\nopentelemetry-proto\npyjwt[crypto]\n' > build/lock/extras.in
	build/lock/bin/$(filter-out pyproject.toml,$(LOCK)) build/lock/extras.in -c requirements-dev.lock -o deploy/extras.lock
	printf 'check-jsonschema\nhadolint-bin\nhelm-python-sdk\nkubernetes-validate\n' > build/lock/linters.in
	build/lock/bin/$(filter-out pyproject.toml,$(LOCK)) build/lock/linters.in -o deploy/linters.lock
	printf 'mkdocs>=1.6,<2\nmkdocs-material>=9.6,<10\n' > build/lock/docs.in
	build/lock/bin/$(filter-out pyproject.toml,$(LOCK)) build/lock/docs.in -o requirements-docs.lock
	echo "Wrote requirements*.lock and deploy/*.lock"

# The time of the last commit stands for the time of the build: the same commit gives the same bytes.
dist: $(VENV)/.dev ## Build the sdists and wheels of all distributions into dist/
	rm -rf dist
	export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct); for one in $(DISTRIBUTIONS); do \
		(cd $$one && $(abspath $(BIN))/python -m hatchling build -d $(abspath dist)) || exit 1; done
	ls dist/*

clean: ## Remove reports, caches and builds
	rm -rf $(OUT) $(STORY) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## Remove the environment as well
	rm -rf $(VENV)
