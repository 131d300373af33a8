# The two commands of the README: `make lab` opens the tutorial, `make test` runs every test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: lab test check browser clean

lab: $(VENV)/installed
	$(BIN)/jupyter lab notebooks/01_optimise_a_stimulus.ipynb

test: check browser .kernels/ipykernel6/installed
	$(BIN)/python -m pytest

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

# A second kernel for the tests, without a second torch: only ipykernel itself is older.
.kernels/ipykernel6/installed: $(VENV)/installed
	$(PIP) install --quiet --no-deps --upgrade --target .kernels/ipykernel6 'ipykernel==6.31.0'
	touch $@

# The browser tests use the system's Chromium. Where it cannot be installed they skip, and say so.
browser:
	@sh tests/browser/install_chromium.sh

clean:
	rm -rf $(VENV) .kernels build dist
