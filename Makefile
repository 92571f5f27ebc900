# The two commands of the README. Each first makes a virtual environment, if there is none that is up to date.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto

.PHONY: demo test

# A simulated night from frames to light curves, in ./photdb-demo
demo: $(VENV)/.installed
	$(BIN)/photdb demo --overwrite

# Style, types and tests
test: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PYTEST_ARGS)

$(VENV)/.installed: pyproject.toml constraints.txt hatch_build.py $(wildcard photdb/algorithms/*.pyx)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@
