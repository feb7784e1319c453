# Everything a fresh clone needs is one command away; .venv is made when there is none.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test
NOTEBOOK_EXTRAS ?= test,notebooks
BIN := $(VENV)/bin

.PHONY: demo test lint install docs docs-serve notebooks learner test-notebooks toy-model clean

demo: $(VENV)/.installed
	$(BIN)/minioneformer demo --output runs/demo

test: $(VENV)/.installed-$(EXTRAS)
	$(MAKE) --no-print-directory lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The site, into site/; a warning is an error.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

notebooks: $(VENV)/.installed-notebooks
	$(BIN)/jupyter lab notebooks

# The notebooks without the solutions of their exercises, into runs/learner.
learner: $(VENV)/.installed
	$(BIN)/python -m minioneformer.exercises learner notebooks runs/learner

# Runs every notebook, its exercises with solutions and without; prints seconds and size of each.
test-notebooks: $(VENV)/.installed-$(NOTEBOOK_EXTRAS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m notebooks -n auto --dist loadgroup tests/test_run_notebooks.py

# The model that ships with the package; takes as long as the demo.
toy-model: $(VENV)/.installed
	$(BIN)/minioneformer demo --output runs/toy
	$(BIN)/python -m minioneformer.training.toy_model runs/toy

install: $(VENV)/.installed-$(EXTRAS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) runs site
