# make demo   train the embedded zoo, measure ten methods, print the table
# make test   all tests but those that take more than ten seconds each; make slow  those
# make drills kills, damages, crowds, full disks, at full size: minutes; writes results/reliability.md
# make check  format, lint, types
# make clean  forget runs; make clean-cache forgets trained models, after asking (YES=1 answers)
# Each creates the environment in .venv if it is missing; nothing is needed but Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONHASHSEED := 0
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
# Packages come uncompiled and are compiled where they are first imported: once, and not by every process that comes
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test slow drills check tables clean clean-cache

demo: .venv/installed
	$(BIN)/python -m experiments.prepare testbed/zoo=demo
	$(BIN)/python run.py experiment=demo
	$(BIN)/python -m experiments.pages demo

test: .venv/installed
	$(BIN)/python -m pytest -n 2 -m "not slow"

slow: .venv/installed
	$(BIN)/python -m pytest -n 2 -m slow

drills: .venv/installed
	$(BIN)/python tests/drills/reliability.py

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

tables: .venv/installed
	$(BIN)/python -m experiments.pages

clean:
	rm -rf results/runs results/pages results/embeddings results/studies results/wandb .pytest_cache .ruff_cache

clean-cache: .venv/installed
	@$(BIN)/python -m experiments.storage.cache

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --no-compile -e '.[test]' -c constraints.txt
	touch $@
