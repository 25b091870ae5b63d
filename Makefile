# Everything starts here: `make demo`, `make test`. README.md says what each target is for.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
POLICY := policy/.venv
KEEP   ?=
FILES  ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo down policy test live lint format bench path env emulator lock docs clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/; s/\$$\$$/$$/g' | expand -t 18

$(STAMP): requirements.txt requirements-dev.txt requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the Python packages into $(VENV) (about a minute the first time) ..." >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --requirement requirements-dev.txt
	@touch $@

$(POLICY)/.installed: policy/requirements.txt policy/requirements.lock
	@test -x $(POLICY)/bin/python || $(PYTHON) -m venv $(POLICY)
	@echo "Installing the policy pack's Python packages into $(POLICY) ..." >&2
	@$(POLICY)/bin/python -m pip install --quiet --disable-pip-version-check --constraint policy/requirements.lock --requirement policy/requirements.txt
	@touch $@

policy: setup $(POLICY)/.installed  ## what the policy pack needs: pulumi preview --policy-pack policy

setup: $(STAMP)  ## virtual environment and Pulumi engine
	@$(PY) -m engine ensure >&2

demo: setup  ## the whole job on the emulator; KEEP=1 leaves it up, FILES=DIR takes your own DICOM files
	@KEEP=$(KEEP) FILES="$(FILES)" $(PY) -m examples.demo

down: $(STAMP)  ## end what `make demo KEEP=1` left running
	@$(PY) -m examples.demo --down

test: setup policy  ## all tests; ARGS="-k name" selects
	@$(PY) -m pytest $(ARGS)

live: setup  ## the same scenarios on Google Cloud: IMAGING_LIVE_PROJECT=... (docs/emulator.md)
	@test -n "$$IMAGING_LIVE_PROJECT" || { echo "error: set IMAGING_LIVE_PROJECT to a project on Google Cloud; application-default credentials act there"; exit 2; }
	@$(PY) -m pytest -rfEP tests/live $(ARGS)

lint: $(STAMP)  ## formatter, linter, type checker
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy .

format: $(STAMP)  ## let the formatter and the linter mend what they can
	@$(PY) -m ruff check --fix --quiet . || true
	@$(PY) -m ruff format .

bench: setup  ## benchmarks, each beside a peer or a limit
	@$(PY) -m benchmarks $(ARGS)

path: setup  ## shell exports of PATH alone, for stacks on Google Cloud: eval "$$(make -s path)"
	@$(PY) -m engine path
	@echo 'export PATH="$(CURDIR)/$(VENV)/bin:$$PATH"'  # python -m operations

env: setup  ## shell exports for pulumi, gcloud and the Google clients: eval "$$(make -s env)"
	@$(PY) -m engine env
	@echo 'export PATH="$(CURDIR)/$(VENV)/bin:$$PATH"'  # python -m operations
	@$(PY) -m emulator env --project hospital-imaging --location europe-west4 --dataset radiology  # Pulumi.dev.yaml

emulator: $(STAMP)  ## the emulator in the foreground, on port 8085
	@$(PY) -m emulator serve

docs: $(STAMP)  ## write the generated reference pages anew
	@$(PY) -m components.settings_docs
	@$(PY) -m emulator.server.support_table

lock: $(STAMP) policy  ## write the installed versions to the lock files, and the CLI that follows them
	@{ head -n 1 requirements.lock; $(PY) -m pip freeze --exclude-editable --disable-pip-version-check; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@{ head -n 1 policy/requirements.lock; $(POLICY)/bin/python -m pip freeze --disable-pip-version-check; } > policy/requirements.lock.new
	@mv policy/requirements.lock.new policy/requirements.lock
	@$(PY) -m engine update

clean:  ## remove the virtual environment and all local state
	rm -rf $(VENV) $(POLICY) .local
