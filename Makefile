# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
ARGS ?=

.PHONY: run test check lint types bench completions docs lock kill-rounds clean

run: $(VENV)/.installed ## install, then serve on embedded SQLite
	$(BIN)/aigw serve --aibridge-enabled $(ARGS)

test: $(VENV)/.developed ## run the tests
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: lint types test ## what CI runs

lint: $(VENV)/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developed
	$(BIN)/mypy

bench: $(VENV)/.developed ## the project's own measurements
	$(BIN)/python -m benchmarks $(ARGS)

kill-rounds: $(VENV)/.developed ## 200 rounds of kill -9 under load
	$(BIN)/python -m tests.e2e.kill_rounds --rounds 200

completions: $(VENV)/.developed ## generate completions/ anew
	$(BIN)/python -m aigw.cli.completion_files completions

docs: $(VENV)/.developed ## generate docs/options.md anew
	$(BIN)/python -m aigw.options_doc docs/options.md

lock: $(VENV)/.developed ## resolve the development lock anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate \
	  --no-header --all-extras --group dev pyproject.toml -o requirements-dev.lock

$(BIN)/python$(if $(filter Windows_NT,$(OS)),.exe):
	$(PYTHON) -c 'import sys; sys.exit("aigw needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(BIN)/python$(if $(filter Windows_NT,$(OS)),.exe)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

$(VENV)/.developed: pyproject.toml requirements-dev.lock $(BIN)/python$(if $(filter Windows_NT,$(OS)),.exe)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
