# The demo's servers, from the packages in this folder's lock: MLflow's tracking server, and an S3 server.
# The service itself is the Dockerfile one folder above.
ARG BASE=python:3.11-slim

FROM ${BASE}
ARG PIPENV_VERSION=2026.10.3
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH
WORKDIR /build
COPY Pipfile Pipfile.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/pipenv \
    && /opt/pipenv/bin/pip install --quiet pipenv==${PIPENV_VERSION} \
    && /opt/pipenv/bin/pipenv requirements --hash > requirements.txt \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-deps --require-hashes -r requirements.txt \
    && rm -r /opt/pipenv
# A volume takes the folder's owner over.
RUN useradd --no-log-init --uid 10002 --user-group --create-home servers \
    && install -d -o servers -g servers /data
USER 10002:10002
WORKDIR /data
