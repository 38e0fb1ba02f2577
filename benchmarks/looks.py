"""A WSGI application for `benchmarks.operating`: services in one process that differ in what looks into them.

A service has its rate from its start on, and another start has another one: what metrics cost is less than
that. Here all have one process, one model and one place in memory; /0/predict, /1/predict and so on choose.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Sequence
from typing import Any

from flask import Flask

from skdeploy import source
from skdeploy.settings import Settings
from skdeploy.web import create_app, logs, metrics

# What looks into a service, and the settings that make it; the first is what the others are compared with.
LOOKS: dict[str, dict[str, str]] = {
    "METRICS=0": {"METRICS": "0"},
    "metrics, the default": {},
    "metrics and ACCESS_LOG=1": {"ACCESS_LOG": "1"},
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
    """All of them on one model, as the environment says; the rest is as in predict.py."""
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    model = source.load_from_settings(settings)
    folder = metrics.shared_folder(os.environ)
    apps = [
        create_app(model, Settings.from_env({**os.environ, **more}), shared=folder) for more in LOOKS.values()
    ]
    gc.collect()
    gc.freeze()
    return Switch(apps)
