# The two commands of the README: `make lab` opens the tutorial, `make test` runs every test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Jupyter asks to be told when it runs as root, as it does in a container.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: lab test check kernels browser clean

lab: $(VENV)/installed
	$(BIN)/jupyter lab $(ROOT) notebooks/01_optimise_a_stimulus.ipynb

test: check browser kernels
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

# Further kernels for the tests, without a further torch: only ipykernel itself is another one.
KERNELS := .kernels/ipykernel6 .kernels/ipykernel71
kernels: $(KERNELS)
.kernels/ipykernel6: RELEASE := 6.31.0
.kernels/ipykernel71: RELEASE := 7.1.0
$(KERNELS): $(VENV)/installed
	$(PIP) install --quiet --no-deps --upgrade --target $@ 'ipykernel==$(RELEASE)'
	touch $@

# The browser tests use the system's Chromium. Where it cannot be installed they skip, and say so.
browser:
	@sh tests/browser/install_chromium.sh

clean:
	rm -rf $(VENV) .kernels build dist
