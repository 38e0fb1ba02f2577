"""The WSGI application of the service, `app`: importing this module loads and proves the model.

`skdeploy serve` and `predict.py` serve it; an application of your own can extend it.
"""

from __future__ import annotations

import logging
import os
import sys

from skdeploy import source
from skdeploy.config import WebSettings
from skdeploy.errors import SettingsError, SkdeployError
from skdeploy.memory import settle
from skdeploy.reload import Control, follows_source
from skdeploy.web import create_app, logs, metrics, tracing

try:
    settings = WebSettings.from_env(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    if follows_source(settings) and "skdeploy.gunicorn_conf" not in sys.modules:
        variable = "SKDEPLOY_WATCH_SECONDS" if settings.watch_seconds else "SKDEPLOY_ADMIN_TOKEN"
        raise SettingsError(
            f"{variable} is set, but nothing polls the source here: start the service with skdeploy serve, "
            "or with gunicorn -c web-service/gunicorn.conf.py."
        )
    # gunicorn forks its workers from this process.
    model = source.load_from_settings(settings, isolated=True)
    app = create_app(
        model,
        settings,
        Control.from_settings(settings),
        tracing.from_environ(os.environ),
        metrics.shared_folder(os.environ),
    )
except SkdeployError as error:
    print(f"The service does not start: {error}", file=sys.stderr)
    arbiter = sys.modules.get("gunicorn.arbiter")
    if arbiter is None or "skdeploy.gunicorn_conf" in sys.modules:
        raise SystemExit(error.exit_code) from error
    # Plain gunicorn imports this in its workers, and for ever replaces one that ends with any other code.
    raise SystemExit(arbiter.Arbiter.WORKER_BOOT_ERROR) from error

passport = model.passport
logging.info("Loaded %s %s from %s", passport.name, passport.version, settings.model_uri)
logging.info("Its SHA-256 is %s", model.digest)
for note in model.notes:
    logging.warning("%s: %s", passport.name, note)

# The libraries' many objects live for ever: without this every collection walks them all, which is
# the longest pause that a request meets, and unshares the memory of forked workers.
settle()
