# Two commands are enough: `make demo` and `make test`. Both set up .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-fast lint types check bench clean

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## find the face in a photograph, eagerly and compiled
	$(BIN)/python -m tripy demo

test: $(VENV)/.dev  ## run all tests
	$(BIN)/python -m pytest

test-fast: $(VENV)/.dev  ## run what takes less than a minute: every operation in its main dtypes
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

check: lint types test

bench: $(VENV)/.dev  ## measure beside OpenVINO and, where installed, torch
	$(BIN)/python bench/foundation.py --json bench/results/foundation.json \
		--markdown bench/results/foundation.md
	$(BIN)/python bench/quantization.py --json bench/results/quantization.json \
		--markdown bench/results/quantization.md

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
