# Every verb of the project. It needs Python 3.11 or newer and make; all else is installed into .venv from the lock.
PYTHON ?= python3
PIPENV_VERSION := 2026.10.3

BIN := .venv/bin
PIPENV := .venv-pipenv/bin/pipenv
# The full MLflow and an S3 server, for the demo and the tests, in an environment and a lock of their own.
SERVERS := .venv-mlflow-server
SERVERS_PIPENV = PIPENV_PIPFILE=$(CURDIR)/web-service-mlflow/Pipfile PIPENV_IGNORE_VIRTUALENVS=0 VIRTUAL_ENV=$(CURDIR)/$(SERVERS) $(PIPENV)
# Apache Spark, 1 GB, with what a job of it needs beside the web service's packages.
SPARK := .venv-spark
SPARK_PIPENV = PIPENV_IGNORE_VIRTUALENVS=0 VIRTUAL_ENV=$(CURDIR)/$(SPARK) $(PIPENV)
# What lists and audits the image's packages.
AUDIT := .venv-audit
AUDIT_PIPENV = PIPENV_IGNORE_VIRTUALENVS=0 VIRTUAL_ENV=$(CURDIR)/$(AUDIT) $(PIPENV)
export PIPENV_VENV_IN_PROJECT := 1
export PIPENV_IGNORE_VIRTUALENVS := 1
export PIPENV_NOSPIN := 1
# An environment that is active, or a PYTHONPATH, must not leak into ours.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help serve train mlflow-demo batch-demo screenshots lambda-zip sbom audit test check lint types imports test-all nightly image bench bench-batch bench-stream bench-operating lock format coverage-table robustness-table soak fuzz clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

serve: .venv/serve.done ## serve model.bin on port 9696 (ARGS="other.bin --port 9797")
	$(BIN)/python -m skdeploy serve $(ARGS)

train: .venv/dev.done ## train on the flights of 2013 and write model.bin (ARGS="--help" lists the options)
	$(BIN)/python train.py $(ARGS)

mlflow-demo: .venv/dev.done $(SERVERS)/done ## train, register, serve, promote, serve again, with real servers (ARGS=--keep leaves them running)
	$(BIN)/python -m examples.mlflow_demo $(ARGS)

batch-demo: .venv/dev.done ## load the flights into SQLite, score a month by day, draw what came of it (ARGS="--keep folder" keeps the database)
	$(BIN)/python -m examples.batch_demo $(ARGS)

screenshots: .venv/dev.done ## the page of the worked example in a headless Chromium, into docs/
	$(BIN)/python -m examples.screenshots

lambda-zip: .venv/streaming.done ## the model of SKDEPLOY_MODEL_URI as a zip for AWS Lambda, dist/lambda.zip (ARGS="--python 3.12")
	$(BIN)/python -m streaming.package $(ARGS)

stream-demo: .venv/dev.done ## a broker, a producer and two consumers: predictions as they arrive (ARGS="--bootstrap host:port")
	$(BIN)/python -m examples.stream_demo $(ARGS)

test: .venv/dev.done ## every test that needs packages alone
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not heavy and not nightly"

check: lint types imports test ## what must hold before a change lands: lint, types, imports, tests

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.done
	$(BIN)/mypy

imports: .venv/dev.done
	$(BIN)/lint-imports

test-all: .venv/dev.done $(SERVERS)/done $(AUDIT)/done $(SPARK)/done $(SPARK)/jars/postgresql.jar .kafka/done ## the tests that need heavy servers (a Docker engine, nginx, MLflow, S3, PostgreSQL, Spark, Kafka)
	@# One process has all that needs a Docker engine, beside the others: two engines would share addresses.
	@docker_log=$$(mktemp) ; \
	$(BIN)/python -m pytest -m "docker and not nightly" >$$docker_log 2>&1 & docker=$$! ; \
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "heavy and not docker and not nightly" ; others=$$? ; \
	wait $$docker ; with_docker=$$? ; cat $$docker_log ; rm $$docker_log ; \
	[ $$others -eq 0 ] && [ $$with_docker -eq 0 ]

nightly: .venv/dev.done .kafka/done ## what takes minutes by its nature: dozens of kills, a soak, the fuzzer with a new seed, every row and cell of the generated tables
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "nightly or robustness"

sbom: $(AUDIT)/done ## what is in the image, as CycloneDX, in dist/sbom.json
	$(AUDIT)/bin/python web-service/supply.py sbom

audit: $(AUDIT)/done ## known vulnerabilities of the image's packages; asks a service of advisories (ARGS="-s osv")
	$(AUDIT)/bin/python web-service/supply.py audit $(ARGS)

image: ## build the Docker image skdeploy
	DOCKER_BUILDKIT=1 docker build -t skdeploy .

bench: .venv/dev.done ## measure skdeploy beside other servers, 20 minutes (ROUNDS=3, ONLY="flask skdeploy")
	$(BIN)/python -m benchmarks run --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

bench-batch: .venv/dev.done $(SPARK)/done $(SPARK)/jars/postgresql.jar ## measure a batch job, PostgreSQL to PostgreSQL, beside the naive loop (ROUNDS=3, ONLY="naive interval")
	$(BIN)/python -m benchmarks.batch run --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

bench-stream: .venv/dev.done .kafka/done ## measure a consumer of Kafka beside the floor and the naive loop (ROUNDS=3, ONLY="floor")
	$(BIN)/python -m benchmarks.stream run --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

bench-operating: .venv/dev.done ## measure what metrics and log cost, and goodput under overload, 7 minutes (ROUNDS=3)
	$(BIN)/python -m benchmarks.operating run --rounds $(or $(ROUNDS),3)

format: .venv/dev.done ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage-table: .venv/dev.done ## measure anew which pipelines are compiled, and write docs/engines.md
	$(BIN)/python -m tests.engines.coverage

robustness-table: .venv/dev.done ## try the bad inputs, faults and loads anew, and write docs/robustness.md (needs cc, and root to mount a disk)
	$(BIN)/python -m tests.robustness

soak: .venv/dev.done ## a service under mixed load, reloads and other models; draws docs/soak.png (MINUTES=10)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10)

fuzz: .venv/dev.done ## fuzz the readers of records, guided by coverage; findings stay in tests/fuzz/cases (SECONDS=60)
	$(BIN)/python -m tests.fuzz.target --seconds $(or $(SECONDS),60) --corpus .cache/fuzz

lock: .venv-pipenv/done | .venv/pyvenv.cfg $(SERVERS)/pyvenv.cfg ## resolve the Pipfiles anew; the locks name no package index
	env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null $(PIPENV) lock
	env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null $(SERVERS_PIPENV) lock
	$(PYTHON) -c "$$WITHOUT_INDEX" Pipfile.lock web-service-mlflow/Pipfile.lock

define WITHOUT_INDEX
import json, pathlib, sys
for path in map(pathlib.Path, sys.argv[1:]):
    lock = json.loads(path.read_text())
    lock["_meta"]["sources"] = []
    for section in lock.values():
        for package in section.values():
            isinstance(package, dict) and package.pop("index", None)
    path.write_text(json.dumps(lock, indent=4) + "\n")
endef
export WITHOUT_INDEX

clean: ## remove the environments and caches
	rm -rf .venv .venv-pipenv .kafka benchmarks/.venvs $(SERVERS) $(SPARK) $(AUDIT) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

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

.venv/batch.done: Pipfile.lock | .venv/pyvenv.cfg
	$(PIPENV) sync
	$(PIPENV) sync --categories "mlflow batch"
	touch $@ .venv/serve.done

.venv/streaming.done: Pipfile.lock | .venv/pyvenv.cfg
	$(PIPENV) sync
	$(PIPENV) sync --categories "mlflow streaming"
	touch $@ .venv/serve.done

.venv/dev.done: Pipfile.lock | .venv/pyvenv.cfg
	$(PIPENV) sync --dev
	$(PIPENV) sync --categories "mlflow batch streaming lambda boosters"
	touch $@ .venv/serve.done .venv/batch.done .venv/streaming.done

$(SERVERS)/pyvenv.cfg: | .venv-pipenv/done
	$(PYTHON) -m venv $(SERVERS)

$(SERVERS)/done: web-service-mlflow/Pipfile.lock | $(SERVERS)/pyvenv.cfg
	$(SERVERS_PIPENV) sync
	touch $@

$(AUDIT)/pyvenv.cfg: | .venv-pipenv/done
	$(PYTHON) -m venv $(AUDIT)

$(AUDIT)/done: Pipfile.lock | $(AUDIT)/pyvenv.cfg
	$(AUDIT_PIPENV) sync --categories audit
	touch $@

$(SPARK)/pyvenv.cfg: | .venv-pipenv/done
	$(PYTHON) -m venv $(SPARK)

$(SPARK)/done: Pipfile.lock | $(SPARK)/pyvenv.cfg
	$(SPARK_PIPENV) sync
	$(SPARK_PIPENV) sync --categories "mlflow spark"
	touch $@

# Apache Kafka's broker, from wherever the machine's Maven settings say.
.kafka/done: examples/servers/kafka-pom.xml
	rm -rf $(@D)
	mvn --quiet --batch-mode --file $< org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	  -DoutputDirectory=$(CURDIR)/$(@D)/libs
	touch $@

# PostgreSQL's JDBC driver, from the same place.
POSTGRES_JDBC := org.postgresql:postgresql:42.7.8

$(SPARK)/jars/postgresql.jar: | $(SPARK)/pyvenv.cfg
	mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
	  -Dartifact=$(POSTGRES_JDBC) -DoutputDirectory=$(CURDIR)/$(@D) -Dmdep.stripVersion=true
	touch $@
