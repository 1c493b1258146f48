# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Every process that a test starts would otherwise compile the product again, where the environment forbids to keep it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo run test check bench campaign docs clean
.DEFAULT_GOAL := test

setup: $(STAMP) ## venv in .venv, editable install with all extras and the tools

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Daicho needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[otel,postgres,redis,mongodb,opensearch,nats,rabbitmq,kafka,http,axon,jwt,client,insight,console]' --group dev
	@touch $@

demo: setup ## the main job on SQLite; ends by itself and says what happened
	@$(BIN)/python -m examples.shop demo

run: setup ## the shop on SQLite over HTTP with its console and customers, stays up; Ctrl-C ends it
	@$(BIN)/python -m examples.shop serve --customers

test: setup ## the whole suite
	@$(BIN)/python -m pytest -n 4 --dist loadgroup -m 'not campaign'

check: setup ## ruff, mypy, pyright, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/python -m pytest tests/architecture

bench: setup ## ratios to the raw driver and to another package, on each store, in one run
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@$(BIN)/python -m bench

campaign: setup ## the long runs: thousands of random histories, kill -9, the whole retail file
	@DAICHO_CAMPAIGN=1 $(BIN)/python -m pytest -m 'campaign or retail' -s

docs: setup ## runs every example in the documentation
	@$(BIN)/python -m pytest tests/docs

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
