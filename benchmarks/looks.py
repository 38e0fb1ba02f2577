"""A WSGI application for `benchmarks.operating`: services in one process that differ in what looks into them.

A service has its rate from its start on, and another start has another one: what metrics cost is less than
that. Here all have one process, one model and one place in memory; /0/predict, /1/predict and so on choose.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from flask import Flask

from skdeploy.config import WebSettings
from skdeploy.web import create_app, metrics

# What looks into a service, and the settings that make it; the first is what the others are compared with.
LOOKS: dict[str, dict[str, str]] = {
    "SKDEPLOY_METRICS=0": {"SKDEPLOY_METRICS": "0"},
    "metrics, the default": {},
    "metrics and SKDEPLOY_ACCESS_LOG=1": {"SKDEPLOY_ACCESS_LOG": "1"},
}


def path(place: int) -> str:
    """Where the service of this place in `LOOKS` predicts."""
    return f"/{place}/predict"


class Switch:
    """Asks the service that the path names; gunicorn's worker sees the default one."""

    def __init__(self, apps: Sequence[Flask]) -> None:
        self._apps = {path(place): one for place, one in enumerate(apps)}
        self.extensions = apps[1].extensions

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI, as PEP 3333 has it."""
        asked = self._apps[environ["PATH_INFO"]]
        environ["PATH_INFO"] = "/predict"
        return asked(environ, start_response)


def switch() -> Switch:
    """All of them on the model that skdeploy.web.wsgi loads, as it does."""
    from skdeploy.web.wsgi import model

    shared = metrics.shared_folder(os.environ)
    return Switch(
        [
            create_app(model, WebSettings.from_env({**os.environ, **more}), shared=shared)
            for more in LOOKS.values()
        ]
    )
