# make            lists the targets
# make run        installs what is needed into .venv and runs the main job
# make test       installs what is needed into .venv and runs the fast tests
#
# PYTHON       the interpreter that makes .venv: 3.11, 3.12 or 3.13
# TORCH_INDEX  the package index to take torch from, for a particular CUDA build: the address that PyTorch's install page
#              gives for your system. If it is empty, pip takes torch from its usual index.
# RESULTS      the store that `make report` reads; OUT is the folder it writes
# PROJECT, ENTITY  where `make dashboard` saves: a W&B project (empty: WANDB_PROJECT, else reno), and its user or team (empty:
#              the API key's default)
# ARGS         knobs for `make run`, e.g. make run ARGS="metric=blip lr=0.05"; options for `make bench`, e.g.
#              make bench ARGS="--only loop,batch" or make bench ARGS="--full-size models --readme docs/cost.md"

PYTHON ?= python3
TORCH_INDEX ?=
PROJECT ?=
ENTITY ?=
ARGS ?=
MAIN_JOB := -m metric=clip,blip lr=0.01,0.05
RESULTS ?= results
OUT ?= report
# These values reach a recipe through the environment, as they were typed: neither make nor the shell expands them.
# ARGS is a list of words, which the shell reads.
TYPED := PYTHON TORCH_INDEX PROJECT ENTITY RESULTS OUT
$(foreach name,$(TYPED),$(eval override $(name) := $$(value $(name))))
export $(TYPED)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run report readme-answer dashboard test test-slow test-browser test-slurm test-ray testbed bench bench-gpu simulate engines damage mutants docs lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the pinned dependencies

$(READY): pyproject.toml constraints.txt
	@"$$PYTHON" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, {v[0]}.{v[1]} found; use make PYTHON=python3.12")'
	test -x $(BIN)/python || "$$PYTHON" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $${TORCH_INDEX:+--index-url "$$TORCH_INDEX"} torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

run: setup ## the main job: metric x learning rate on the embedded models (ARGS="knob=value ..." for another)
	$(BIN)/python -m reno.run $(or $(ARGS),$(MAIN_JOB))

report: setup ## page, PDF, tables and figures of the stored trials: RESULTS=results OUT=report
	$(BIN)/python -m analysis "results=$$RESULTS" "out=$$OUT"

readme-answer: setup ## the report, and its figure and headline table into README.md: RESULTS=results
	$(BIN)/python -m analysis "results=$$RESULTS" "out=$$OUT" readme=README.md

test: setup ## the fast tests, in two processes
	unset PYTHONDONTWRITEBYTECODE; $(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile

test-slow: setup ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

test-browser: setup ## the report's page in headless Chromium (Debian: apt-get install chromium chromium-driver)
	$(BIN)/python -m pytest -q -m browser

test-slurm: setup ## sweeps on a Slurm of one node, which the tests start (Debian: apt-get install slurm-wlm munge; as root)
	$(BIN)/python -m pytest -q -m slurm

test-ray: setup ## sweeps on a local Ray, in an environment of its own, build/ray, on top of .venv
	test -x build/ray/bin/python || $(BIN)/python -m venv build/ray
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$(build/ray/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth"
	build/ray/bin/python -m pip install --quiet 'hydra-ray-launcher>=1.2.2,<2' 'ray>=2.40,<3'
	build/ray/bin/python -m pytest -q -m "slow or not slow" tests/commands/test_launchers.py -k ray

testbed: setup ## train the embedded models again from nothing and measure them: hours; goes on where it stopped
	$(BIN)/python scripts/train_testbed.py

bench: setup ## what an iteration, a batch, a sweep cost, into bench/: ARGS="--full-size FOLDER" adds SD-Turbo's size
	@$(BIN)/python -m benchmarks $(ARGS)

bench-gpu: setup ## seconds of a trial and its TFLOP/s on a CUDA GPU at SD-Turbo's size, random weights, within 8 minutes
	@$(BIN)/python -m benchmarks --gpu $(ARGS)

simulate: setup ## how the store's own work grows with trials and workers: ARGS="SCRATCH --trials 1000,100000 --workers 1,64"
	@$(BIN)/python scripts/simulate_scale.py $(or $(ARGS),build/scale)

engines: setup ## the same study by every launcher that this machine has, side by side, as a table: ARGS=SCRATCH
	@$(BIN)/python -m tests.commands.engines $(or $(ARGS),build/engines)

dashboard: setup ## save the W&B dashboard of the trials (PROJECT=reno ENTITY=team); needs a W&B key
	@$(BIN)/python scripts/build_dashboard.py --project "$${PROJECT:-$${WANDB_PROJECT:-reno}}" $${ENTITY:+--entity "$$ENTITY"}

damage: setup ## spoil stored files, kill jobs at random and at each change to a store, and count what happens: an hour
	$(BIN)/python -m tests.running.damage $(or $(ARGS),500 50 1)

mutants: setup ## mutation testing: faults put into the code one at a time, over an hour; goes on where it stopped
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	mkdir -p mutants/tiny
	RENO_TINY="$$PWD/mutants/tiny" OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(ARGS)
	@$(BIN)/mutmut results

docs: setup ## README.md and docs/ as a site, build/site/index.html; every link is checked
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@rm -rf build/pages build/site
	@$(BIN)/python scripts/stage_docs.py build/pages
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open build/site/index.html"

lint: setup ## style, obvious mistakes, and which room may import which
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	@$(BIN)/lint-imports --no-logo

clean: ## remove the environment; results stay
	rm -rf $(VENV) build *.egg-info
