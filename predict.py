"""The web service's WSGI application, `app`.

gunicorn -c web-service/gunicorn.conf.py predict:app     as it is meant to run (make serve runs the same)
python predict.py                                         while developing
"""

from __future__ import annotations

from skdeploy.web.wsgi import app, settings

if __name__ == "__main__":
    app.run(settings.bind_address, settings.port)
