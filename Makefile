# `make repro` and `make test` do all set-up: .venv is created on first use and whenever a lock file changes. requirements.txt has what the
# stages run on, requirements-dev.txt also linters, tests and benchmarks; a stage depends on the first alone.
# PYTHON=python3.12 chooses the interpreter, PORT=5001 the port of `make ui`. To lock other versions, after a change in pyproject.toml:
#   LOCK="uv pip compile pyproject.toml --generate-hashes --universal --no-header --python-version 3.11"
#   $LOCK --all-extras -o requirements-dev.txt && $LOCK --extra workflow -c requirements-dev.txt --no-annotate -o requirements.txt

PYTHON ?= python3
PORT ?= 5000
READY := .venv/ready
READY_DEV := .venv/ready-dev
ACTIVATE := . .venv/bin/activate &&

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# These would send packages elsewhere than into .venv.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PYTHONHOME

.PHONY: repro exp test test-gpu test-services lint faults bench ui

# From left to right, also with -j: what refuses comes before what installs.
.NOTPARALLEL:

repro: .git-commit $(READY) .git-identity
	@$(ACTIVATE) python -m workflow.check && dvc repro && python -m workflow.summary

# RECIPE=NAME or RECIPE=NAME,NAME runs recipes/NAME.yaml as a DVC experiment of that name; QUEUE=1 queues it; ARGS="-S lr=0.02" adds to it.
# Without a RECIPE it lists them.
exp: .git-commit $(READY) .git-identity
	@$(ACTIVATE) python -m workflow.recipe "$(RECIPE)" $(if $(QUEUE),--queue) $(ARGS)

test: $(READY_DEV) lint
	@$(ACTIVATE) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# On a machine with a GPU; most need one, some two.
test-gpu: $(READY_DEV)
	@$(ACTIVATE) python -m pytest -m gpu

# What needs servers, namespaces or minutes; a test is skipped where its server is missing.
test-services: $(READY_DEV)
	@$(ACTIVATE) python -m pytest -m services

lint: $(READY_DEV)
	@$(ACTIVATE) ruff check . && ruff format --check . && mypy && lint-imports && python -m docs.tables --check

# FAULTS=200 SEED=1 interrupts at least 200 commands, drawn from seed 1.
faults: $(READY_DEV)
	@$(ACTIVATE) PYTHONPATH=.:tests FAULTS=$(FAULTS) SEED=$(SEED) python -m faults

bench: $(READY_DEV)
	@$(ACTIVATE) python -m benchmarks

ui: $(READY)
	@$(ACTIVATE) PORT=$(PORT) python -m workflow.ui

# $(call install,FILE): with uv, or with pip if uv is not available.
define install
awk '/^uv==/,/# via/' requirements-dev.txt >.venv/uv.txt; \
  .venv/bin/python -m pip install --quiet --require-hashes -r .venv/uv.txt \
  && .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python --quiet --require-hashes -r $(1) \
  || { echo "uv is not available or failed; using pip, which takes a few minutes longer" >&2; .venv/bin/python -m pip install --quiet --require-hashes -r $(1); }
endef

# A linked environment belongs to somebody else: `venv --clear` would follow the link and empty it.
define refuse_link
test ! -L .venv || { echo "error: .venv is a link, and its environment may not fit the lock files; remove the link, or touch $(1) if it does" >&2; exit 2; }
endef

$(READY): requirements.txt
	@$(call refuse_link,$@)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	  || { echo "error: Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing); install it, or name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "error: $(PYTHON) lacks the venv module; install it (Debian, Ubuntu: apt-get install python3-venv) and run this again" >&2; exit 2; }
	@echo "creating .venv and installing requirements.txt: 6.3 GB, once; half a minute or more, depending on the network"
	@$(PYTHON) -m venv --clear .venv
	@$(call install,requirements.txt)
	@.venv/bin/python -c 'from importlib.metadata import version; version(open("requirements.txt").read().split("==")[0])' 2>/dev/null \
	  || { echo "error: the packages were not installed into .venv; remove target and prefix from pip's configuration (pip config list)" >&2; exit 2; }
	@echo 'unset PYTHONSAFEPATH  # It keeps Python from finding the stages.' >>.venv/bin/activate
	@touch $@

$(READY_DEV): requirements-dev.txt $(READY)
	@$(call refuse_link,$@)
	@echo "installing requirements-dev.txt: linters, tests and benchmarks"
	@$(call install,requirements-dev.txt)
	@touch $@

# DVC needs git and a commit of these files, which an unpacked archive lacks, in another repository's folder too.
.PHONY: .git-commit
.git-commit:
	@git --version >/dev/null 2>&1 || { echo "error: git is not installed; install it (Debian, Ubuntu: apt-get install git) and run this again" >&2; exit 2; }
	@git cat-file -e HEAD:./params.yaml 2>/dev/null || { \
	  advice=$$(git rev-parse --git-dir 2>&1 | grep -o 'git config --global --add safe.directory .*'); \
	  test -z "$$advice" || { echo "error: this folder belongs to another user, so git does not read it; run \`$$advice\`, then run this again" >&2; exit 2; }; \
	  git config user.email >/dev/null && git config user.name >/dev/null || author=" -c user.name=alexnet -c user.email=alexnet@localhost"; \
	  echo "error: DVC needs git and a commit of these files; run \`git init\` and \`git add -A && git$$author commit -m start\`, then run this again" >&2; exit 2; }

# DVC commits in the name of a person as soon as a tracked file differs; where git knows nobody, this repository gets a name of its own.
.PHONY: .git-identity
.git-identity:
	@git config user.email >/dev/null || git config --local user.email alexnet@localhost
	@git config user.name >/dev/null || git config --local user.name alexnet
