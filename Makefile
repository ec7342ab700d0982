# `make repro` and `make test` do all set-up: the environment in .venv is made on first use and whenever requirements.txt changes.
# PYTHON=python3.12 chooses the interpreter it is made with, PORT=5001 the port of `make ui`. To lock other versions, after a change in pyproject.toml:
#   uv pip compile pyproject.toml --all-extras --generate-hashes --universal --no-header --python-version 3.11 -o requirements.txt

PYTHON ?= python3
PORT ?= 5000
READY := .venv/ready
ACTIVATE := . .venv/bin/activate &&
INTO_VENV := --quiet --require-hashes -r

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# These would send packages elsewhere than into .venv.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PYTHONHOME

.PHONY: repro exp test lint bench ui

repro: $(READY) .git-identity
	@$(ACTIVATE) python -m workflow.check && dvc repro && python -m workflow.summary

# RECIPE=NAME or RECIPE=NAME,NAME runs recipes/NAME.yaml as a DVC experiment of that name; QUEUE=1 queues it; ARGS="-S lr=0.02" adds to it.
# Without a RECIPE it lists them.
exp: $(READY) .git-identity
	@$(ACTIVATE) python -m workflow.recipe "$(RECIPE)" $(if $(QUEUE),--queue) $(ARGS)

test: $(READY) lint
	@$(ACTIVATE) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	@$(ACTIVATE) ruff check . && ruff format --check . && mypy && lint-imports

bench: $(READY)
	@$(ACTIVATE) python -m benchmarks

ui: $(READY)
	@$(ACTIVATE) PORT=$(PORT) python -m workflow.ui

# A linked environment belongs to somebody else: `venv --clear` would follow the link and empty it.
$(READY): requirements.txt
	@test ! -L .venv || { echo "error: .venv is a link and its environment may not fit requirements.txt; remove the link, or touch $@ if it does" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	  || { echo "error: Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing); install it, or name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "error: $(PYTHON) lacks the venv module; install it (Debian, Ubuntu: apt-get install python3-venv) and run this again" >&2; exit 2; }
	@echo "making .venv and installing requirements.txt into it: 6.4 GB, once; half a minute or more, by the network"
	@$(PYTHON) -m venv --clear .venv
	@awk '/^uv==/,/# via/' requirements.txt >.venv/uv.txt
	@.venv/bin/python -m pip install $(INTO_VENV) .venv/uv.txt \
	  && .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python $(INTO_VENV) requirements.txt \
	  || { echo "uv cannot be had or failed; pip does it, which takes some minutes longer" >&2; .venv/bin/python -m pip install $(INTO_VENV) requirements.txt; }
	@.venv/bin/python -c 'from importlib.metadata import version; version(open("requirements.txt").read().split("==")[0])' 2>/dev/null \
	  || { echo "error: the packages went elsewhere than into .venv; take target and prefix out of pip's configuration (pip config list)" >&2; exit 2; }
	@echo 'unset PYTHONSAFEPATH  # It keeps Python from finding the stages.' >>.venv/bin/activate
	@touch $@

# DVC commits in the name of a person as soon as a tracked file differs; where git knows nobody, this repository gets a name of its own.
.PHONY: .git-identity
.git-identity:
	@git config user.email >/dev/null || git config --local user.email alexnet@localhost
	@git config user.name >/dev/null || git config --local user.name alexnet
