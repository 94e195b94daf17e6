# make demo    from nothing to faces: sets everything up, trains a DCGAN, draws the three figures into demo/
# make test    sets the same up and runs the tests        make lint    ruff and mypy --strict
# make docs    the documentation as a site in build/docs  make clean   removes what make has made
# make long    the tests that take long, but the browser's  make browser  the page's long tests in real browsers
# make pages   pages that need no server into build/docs/pages
# make wheel   sdist and wheel into dist/, installed without extras and walked through
# make setup   only the virtual environment, .venv        make constraints    resolves the newest versions anew
# PYTHON=python3.12 names another interpreter than the newest

PYTHON ?=
MINUTES ?= 8
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TORCH := torch==2.13.0
EXTRAS := data,export,parquet,video,tensorboard,wandb,mlflow,hub,dev
BUILD := hatchling editables
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test long browser lint format docs pages wheel setup constraints clean
.DELETE_ON_ERROR:

setup: $(STAMP)

$(VENV)/bin/python:
	@python=$$(scripts/find_python.sh "$(PYTHON)") || exit 1; \
	echo "Making the virtual environment $(VENV) with $$python ..."; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "make: '$$python -m venv' failed; the lines above say why" >&2; exit 1; }

# Torch first and by itself. On Linux the registry's plain build brings gigabytes of CUDA, so without an NVIDIA GPU
# the CPU build is asked for: from the places pip already knows, then from PyTorch's own index; the plain one is the last resort.
$(STAMP): $(VENV)/bin/python pyproject.toml models/pyproject.toml constraints.txt
	@echo "Installing PyTorch (about 200 MB without CUDA; a minute or two) ..."
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
	  $(PIP) install $(TORCH)+cpu -c constraints.txt >/dev/null 2>&1 || \
	  $(PIP) install $(TORCH)+cpu -c constraints.txt --extra-index-url $(CPU_INDEX) || { \
	    echo "The CPU build is out of reach; installing the plain one, with gigabytes of CUDA ..."; \
	    $(PIP) install $(TORCH) -c constraints.txt; }; \
	else \
	  $(PIP) install $(TORCH) -c constraints.txt; \
	fi || { echo "make: PyTorch could not be installed; the lines above say why" >&2; exit 1; }
	@echo "Installing Zeuxis and what it needs ..."
	@$(PIP) install -c constraints.txt $(BUILD)
	@$(PIP) install -c constraints.txt --no-build-isolation --editable '.[$(EXTRAS)]' --editable ./models
	@touch $@

# One file for every Python and platform: uv writes a line, with its condition, for each version that some need.
constraints: $(VENV)/bin/python
	$(PIP) install uv
	printf '%s\n' '.[$(EXTRAS),docs]' $(TORCH) $(BUILD) | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --no-annotate --no-emit-package zeuxis --custom-compile-command 'make constraints' --output-file constraints.txt -

demo: $(STAMP)
	$(BIN)/zeuxis demo --out demo --minutes $(MINUTES)

# One thread for each test process: more only fight over the cores. More than two: while some wait for a server, others work.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist worksteal $(TESTS)

# Work of minutes without a leak, every family on pretended devices and by many processes, the long pages of the docs.
long: $(STAMP)
	ZEUXIS_LONG=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist worksteal -m long --ignore tests/browser

# The page in real browsers: the long tests too. What is missing is skipped; scripts/install_browsers.sh installs it.
browser: $(STAMP)
	ZEUXIS_LONG=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser tests/test_page_modules.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Only MkDocs may have to be installed; then nothing is fetched, and a broken link fails. The notebooks run for two minutes.
docs: $(STAMP)
	@$(BIN)/python -c 'import mkdocs, nbclient, ipykernel, pandas' 2>/dev/null || \
	  $(PIP) install -c constraints.txt --no-build-isolation --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict
	@echo "Open build/docs/index.html; its search box needs a server: $(BIN)/python -m http.server --directory build/docs"

# Two pages that need no server, beside the documentation: the installed model of faces, and garments of a VAE trained for it.
pages: docs
	@mkdir -p build/docs/pages
	$(BIN)/zeuxis export faces --page build/docs/pages/faces.html --directions smiling,glasses,woman
	[ -d build/garments ] || $(BIN)/zeuxis train vae fashion-mnist --minutes 3 --out build/garments
	$(BIN)/zeuxis export build/garments/00001-vae-fashion-mnist --page build/docs/pages/garments.html --directions components

# An empty environment, which borrows only what the package requires from this one: nothing is fetched.
wheel: $(STAMP)
	$(BIN)/python scripts/walk_wheel.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
