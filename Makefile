# `make demo` shows a plastic network learning to learn, `make test` checks the project, `make results` writes RESULTS.md.
# PYTHON chooses the interpreter that .venv is made from; DATA a folder of packed data sets; DEMO the folder of the run.
PYTHON ?= python3
DATA ?= $(or $(PLASTIC_DATA),$(wildcard ../shared/data))
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)
BIN := .venv/bin
# learn2learn 0.2.0 ships C files that Python 3.11 and later refuse; with Cython at hand they are made anew
LEARN2LEARN := learn2learn==0.2.0 --no-build-isolation --no-deps --use-pep517 --config-settings=--build-option=build_ext

.PHONY: demo test results clean

demo: .venv/ready
	$(BIN)/python -m tasks.omniglot --preset quick --out $(DEMO) $(if $(DATA),--data-dir $(DATA))
	@echo "look at  $(DEMO)/figures/plasticity.png (what an episode writes), then  $(BIN)/tensorboard --logdir runs"

test: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(if $(DATA),PLASTIC_DATA=$(abspath $(DATA))) $(BIN)/python -m pytest -m "not slow and not gpu"

results: .venv/ready
	$(BIN)/python -m benchmarks.results

.venv/ready: pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "missing: Python 3.11 or later ($(PYTHON) is older or absent); name one with make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "missing: Python's venv module (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import pathlib, sys, sysconfig; \
		sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' \
		|| { echo "missing: Python's headers, which learn2learn is built with (Debian and Ubuntu: apt install python3-dev)"; exit 1; }
	@command -v cc >/dev/null || command -v gcc >/dev/null \
		|| { echo "missing: a C compiler, which learn2learn is built with (Debian and Ubuntu: apt install gcc)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev,learn2learn]'
	$(BIN)/pip install --quiet $(LEARN2LEARN)
	@touch $@

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache
