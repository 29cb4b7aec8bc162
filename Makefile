# Needs GNU make, git and Python 3.11 or newer; everything else goes into .venv/.
#
#   make run    start TicketFlow (PORT=8001 make run: on another port)
#   make demo   the same with invented tickets and a stand-in for AWS, in var/demo/
#   make test   run the tests
#   make lint   run the checkers
#   make test-faults   kill and stop real processes again and again, half an hour at most
#   make clean  remove .venv/ and what tools leave behind, never your data

SHELL := /bin/sh
PYTHON ?= python3
PY := .venv/bin/python
DEMO := $(CURDIR)/var/demo

.DEFAULT_GOAL := help
.PHONY: help run demo test test-faults lint lock clean venv venv-dev

help:
	@sed -n 's/^#   //p' Makefile

run: venv
	@exec $(PY) manage.py start

demo: venv
	@TICKETFLOW_DATA_DIR="$${TICKETFLOW_DATA_DIR:-$(DEMO)}" exec $(PY) manage.py start --demo

test: venv-dev
	@$(PY) -m pytest -n auto $(ARGS)

# One after the other: each run keeps both cores busy, and time limits are real.
test-faults: venv-dev
	@FAULT_REPEATS="$${FAULT_REPEATS:-25}" FAULT_MINUTES="$${FAULT_MINUTES:-28}" \
	$(PY) -m pytest -m faults $(ARGS) email_settings/tests/faults

lint: venv-dev
	@set -e; say() { echo; echo "== $$*"; "$$@"; }; PATH="$(CURDIR)/.venv/bin:$$PATH"; \
	say ruff check .; \
	say ruff format --check .; \
	say mypy .; \
	say lint-imports; \
	echo; echo "== djade --check"; \
	git ls-files -z 'templates/*.html' | xargs -0 djade --check --target-version 5.2; \
	scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	export TICKETFLOW_DATA_DIR="$$scratch" SITE_URL=https://help.example.com; \
	say python manage.py makemigrations --check --dry-run; \
	say python manage.py check --deploy --fail-level WARNING

# Pin every dependency anew, with hashes, from the two .in files.
lock: venv-dev
	@.venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.txt
	@.venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov test-results .coverage*

# Dependencies are installed when their list differs from the copy of what was installed.
venv: $(PY)
	@cmp -s requirements.txt .venv/requirements.txt || { \
	  echo "Installing what TicketFlow needs into .venv/ (once, about a minute)"; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt \
	  && cp requirements.txt .venv/requirements.txt; }

venv-dev: $(PY)
	@cmp -s requirements-dev.txt .venv/requirements-dev.txt || { \
	  echo "Installing what TicketFlow and its tests need into .venv/ (once, about two minutes)"; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt \
	  && cp requirements-dev.txt .venv/requirements-dev.txt && cp requirements.txt .venv/requirements.txt; }

# The first Python that is new enough; a plain sentence when there is none.
$(PY):
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  "$$python" -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$$python cannot make virtual environments. On Debian and Ubuntu, install the package python3-venv."; exit 1; }; \
	  exec "$$python" -m venv .venv; \
	done; \
	echo "TicketFlow needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not installed). Install one, or name it: make run PYTHON=/path/to/python3.12"; \
	exit 1
