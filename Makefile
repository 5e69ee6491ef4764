# `make demo` trains and compares, `make test` checks everything, `make docs` builds the site.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs dist format clean

demo: .venv/ready
	$(BIN)/reparam compare digits -o runs/digits --force
	@echo "Open runs/digits/report.html in a browser."

test: .venv/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2  # or every process compiles the sources again

# Strictly: a broken link, a page in no navigation or a public name without a docstring ends it.
docs: .venv/ready-test .venv/ready-docs
	$(BIN)/python site/katex.py fetch
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python site/katex.py set
	$(BIN)/python site/check.py build/site
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 --dist worksteal -m pages tests/test_pages.py
	@echo "Open build/site/index.html in a browser."

# What would be published: looked into, and installed where nothing else is.
dist: .venv/ready-test
	rm -rf dist
	$(BIN)/python -m pip wheel -q --no-deps -w dist .
	$(BIN)/python site/wheel.py dist

format: .venv/ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv runs build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/ready: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/ready-test: .venv/ready
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	touch $@

.venv/ready-docs: .venv/ready
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	touch $@
