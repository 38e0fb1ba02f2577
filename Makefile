# Every verb of the project. It needs Python 3.11 or newer and make; all else is installed into .venv from the lock.
PYTHON ?= python3
PIPENV_VERSION := 2026.10.3

BIN := .venv/bin
PIPENV := .venv-pipenv/bin/pipenv
export PIPENV_VENV_IN_PROJECT := 1
export PIPENV_IGNORE_VIRTUALENVS := 1
export PIPENV_NOSPIN := 1
# An environment that is active, or a PYTHONPATH, must not leak into ours.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help serve train test check lint types imports test-all image bench lock format coverage-table clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

serve: .venv/serve.done ## serve model.bin on port 9696
	$(BIN)/gunicorn -c web-service/gunicorn.conf.py predict:app

train: .venv/dev.done ## train on the flights of 2013 and write model.bin (ARGS="--help" lists the options)
	$(BIN)/python train.py $(ARGS)

test: .venv/dev.done ## every test that needs packages alone
	$(BIN)/python -m pytest -m "not heavy"

check: lint types imports test ## what must hold before a change lands: lint, types, imports, tests

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.done
	$(BIN)/mypy

imports: .venv/dev.done
	$(BIN)/lint-imports

test-all: .venv/dev.done ## the tests that need heavy servers (a Docker engine, nginx)
	$(BIN)/python -m pytest -m heavy

image: ## build the Docker image skdeploy
	DOCKER_BUILDKIT=1 docker build -t skdeploy .

bench: .venv/dev.done ## measure skdeploy beside other servers, 15 minutes (ROUNDS=3, ONLY="flask skdeploy")
	$(BIN)/python -m benchmarks run --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

format: .venv/dev.done ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage-table: .venv/dev.done ## measure anew which pipelines are compiled, and write docs/engines.md
	$(BIN)/python -m tests.engines.coverage

lock: .venv-pipenv/done ## resolve the Pipfile anew; the lock names no package index
	env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null $(PIPENV) lock
	$(PYTHON) -c 'import json, pathlib; path = pathlib.Path("Pipfile.lock"); lock = json.loads(path.read_text()); lock["_meta"]["sources"] = []; [package.pop("index", None) for section in lock.values() for package in section.values() if isinstance(package, dict)]; path.write_text(json.dumps(lock, indent=4) + "\n")'

clean: ## remove the environments and caches
	rm -rf .venv .venv-pipenv benchmarks/.venvs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv-pipenv/done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "This Python lacks the venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv-pipenv
	.venv-pipenv/bin/pip install --quiet --disable-pip-version-check pipenv==$(PIPENV_VERSION)
	touch $@

# pipenv would take the newest Python that it finds; the environment is made by the one that was asked for.
.venv/pyvenv.cfg: | .venv-pipenv/done
	$(PYTHON) -m venv .venv

.venv/serve.done: Pipfile.lock | .venv/pyvenv.cfg
	$(PIPENV) sync
	touch $@

.venv/dev.done: Pipfile.lock | .venv/pyvenv.cfg
	$(PIPENV) sync --dev
	touch $@ .venv/serve.done
