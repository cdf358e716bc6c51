# The two commands of the README, and what maintainers run. `make` alone lists them.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
SETUP := .venv/ready
COLAB := .venv/colab
# Once, when installed: else the first notebook that imports PyTorch does it, and where Python may not write, every one.
export UV_COMPILE_BYTECODE := 1
export UV_COMPILE_BYTECODE_TIMEOUT := 600

.DEFAULT_GOAL := help
.PHONY: help run quick lab app notebooks test check-data bench results pack gpu test-pythons mutants reliability slides handout class book lock clean

help: ## list these commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: $(SETUP) ## run the notebooks on the bundled data, write web pages of them to build/series
	$(BIN)/python notebooks/run.py

quick: $(SETUP) ## train a small U-Net in about a minute, score it, draw its masks
	$(BIN)/carvana train --preset quick --out runs/quick --overwrite
	$(BIN)/carvana evaluate --weights runs/quick --fold 0,1 --json runs/quick/scores.json --figure runs/quick/masks.png
	@echo "Look at runs/quick/masks.png. Next: your own photo (carvana predict) or the real data, both in README.md."

# Photos are sent to the kernel in one message each, and the server takes 10 MB unless told otherwise. tools/lab leaves
# out the panels for graders; `.venv/bin/jupyter lab` has them.
lab: $(SETUP) ## open notebook 01 in JupyterLab
	JUPYTER_CONFIG_PATH="$(CURDIR)/tools/lab" $(BIN)/jupyter lab \
		--ServerApp.tornado_settings="{'websocket_max_message_size': 100000000}" \
		--ContentsManager.hide_globs="['__pycache__', 'run.py', 'runs']" notebooks/01_a_mask_in_ten_minutes.ipynb

# One copy of the page waits ready: while a reader uses it, the next is made.
app: $(SETUP) ## the threshold tuner as a page without code
	CARVANA_DATA="$(CURDIR)/data/sample" $(BIN)/voila --preheat_kernel=True --pool_size=1 notebooks/app/threshold_tuner.ipynb

book: $(SETUP) ## build the series as a web site in build/book (npm is needed)
	$(BIN)/python -m tools.site.book

notebooks: $(SETUP) ## run the notebooks and save them with their new outputs
	CARVANA_DATA="$(CURDIR)/data/sample" $(BIN)/python -m tools.notebooks notebooks/*.ipynb notebooks/app/*.ipynb

slides: $(SETUP) ## slides of all notebooks, in build/slides (npm is needed the first time)
	$(BIN)/python -m tools.site.slides

handout: $(SETUP) ## U-Net on one page, masks and scores on one page, to print: build/handout_unet.html, handout_masks.html
	$(BIN)/python -m tools.classkit.handout

class: $(SETUP) ## for a class: build/class (and class.zip) for students, build/teacher with answers for you
	$(BIN)/python -m tools.classkit

test: $(SETUP) $(COLAB)/ready ## run the tests, the style checks and all notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest
	PYTHONPATH=$(COLAB) $(BIN)/python -m pytest tests/widgets tests/pictures
	CARVANA_DATA="$(CURDIR)/data/sample" $(BIN)/python -m pytest --nbval --nbval-sanitize-with tests/nbval.cfg \
		--nbval-cell-timeout 1000 --nbval-kernel-startup-timeout 600 -p no:cacheprovider notebooks/[01]*.ipynb notebooks/app/*.ipynb

test-pythons: $(SETUP) ## run `make test` on fresh clones under Python 3.11, 3.12 and 3.13 (45 minutes)
	$(BIN)/nox

platforms: $(SETUP) ## run notebooks and tests with the packages of Colab and Kaggle, and with the oldest allowed
	$(BIN)/python -m benchmarks.platforms

mutants: $(SETUP) ## change scores, losses, data, checkpoint and run folder in 900 small ways: does a test notice?
	rm -rf mutants
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/python -m benchmarks.reliability.mutants

check-data: $(SETUP) ## say what is wrong with the data folder DATA=...
	$(BIN)/carvana check-data "$(DATA)"

bench: $(SETUP) ## compare our way with the usual way (real photos: DATA=..., about 11 minutes)
	$(BIN)/python -m benchmarks.speed.speed $(if $(DATA),--data "$(DATA)")
	$(BIN)/python -m benchmarks.speed.memory
	$(BIN)/python -m benchmarks.speed.widgets

results: $(SETUP) ## write docs/results.md and its plots from the recorded results, check README against them
	$(BIN)/python -m tools.results

reliability: $(SETUP) ## kill and resume a training thirty times; compare scores over threads, batches and processes
	$(BIN)/python -m benchmarks.reliability.kills
	$(BIN)/python -m benchmarks.reliability.same

pack: $(SETUP) ## pack the photos for a machine with a GPU into build/packs (DATA=...)
	$(BIN)/python -m benchmarks.speed.pack --data "$(DATA)"

gpu: $(SETUP) ## measure on a GPU: photos a second, roofline, scoring, time to Dice 0.990, 0.991 and 0.995 (6 minutes)
	$(BIN)/python -m benchmarks.speed.gpu $(if $(wildcard build/packs),--packs build/packs)

lock: $(SETUP) ## renew requirements.lock from pyproject.toml
	$(BIN)/python -m uv pip compile pyproject.toml --extra lab --extra dev --extra onnx --extra book --universal --python-version 3.11 \
		--no-header --no-annotate --upgrade -o requirements.lock

clean: ## remove the environment and everything that was built
	rm -rf .venv build runs

# Colab's versions of ipywidgets and its kernel, for the tests of the tools: a folder to put in front of the path.
$(COLAB)/ready: tests/widgets/colab.txt $(SETUP)
	$(BIN)/python -m uv pip install --quiet --python .venv --no-deps --target $(COLAB) -r tests/widgets/colab.txt
	PYTHONPATH=$(COLAB) $(BIN)/python -c 'import ipywidgets, IPython; assert ipywidgets.__version__ == "7.7.1" and IPython.__version__ == "7.34.0"'
	@touch $@

# Made last, so that an installation that was stopped is done again.
$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip install --quiet --python .venv -r requirements.lock -e .
	@touch $(SETUP)
