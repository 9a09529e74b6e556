# Two commands, each from a fresh clone on a machine with only Python and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs clean

demo: $(VENV)/installed
	$(BIN)/codeword demo --out demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests benchmarks examples tools docs README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/python tools/check_docstrings.py
	$(BIN)/python tools/check_structure.py

docs: $(VENV)/installed-dev
	$(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf $(VENV) demo site

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[dev,docs,speech,onnx,tokens,ray,serve,transformers]"
	$(BIN)/pip install --quiet --no-deps resemblyzer
	touch $@
