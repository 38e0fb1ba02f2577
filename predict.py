"""The web service's WSGI application, `app`.

gunicorn -c web-service/gunicorn.conf.py predict:app     as it is meant to run (make serve)
python predict.py                                         while developing
"""

from __future__ import annotations

import gc
import logging
import os

from skdeploy import source
from skdeploy.errors import SkdeployError
from skdeploy.reload import Control
from skdeploy.settings import Settings
from skdeploy.web import create_app, logs, metrics, tracing

try:
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level, settings.log_format)
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
    raise SystemExit(f"The service does not start: {error}") from error

passport = model.passport
logging.info("Serving %s %s from %s", passport.name, passport.version, settings.model_uri)
logging.info("Its SHA-256 is %s", model.digest)
for note in model.notes:
    logging.warning("%s: %s", passport.name, note)

# The libraries' many objects live for ever: without this every collection walks them all, which is
# the longest pause that a request meets, and unshares the memory of forked workers.
gc.collect()
gc.freeze()

if __name__ == "__main__":
    app.run(settings.bind_address, settings.port)
