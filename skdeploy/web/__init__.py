"""The web door: HTTP onto the model, and nothing else.

A request passes worker.py, http.py, front.py, middleware.py and predict.py, or Flask's routes
in app.py, which plain WSGI servers ask alone; DESIGN.md draws it.
"""

try:
    from skdeploy.web.app import create_app
except ModuleNotFoundError as error:
    if (error.name or "").startswith("skdeploy"):
        raise
    raise ModuleNotFoundError(
        f"{error.name} is not installed: run pip install 'skdeploy[serve]'", name=error.name
    ) from error

__all__ = ["create_app"]
