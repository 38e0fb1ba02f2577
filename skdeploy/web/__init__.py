"""The web door: HTTP onto the model, and nothing else.

app.py       create_app(model, settings) -> Flask
serving.py   the model that answers now, and what is made from it
shortcut.py  POST /predict without Flask's machinery
predicting.py   a body's bytes -> the answer's bytes
body.py      reading a request's body, within limits
gate.py      what every request passes: its name, its permission, its line, its spans
passing.py   the gate around the whole application
access.py    API keys: which request has one
headers.py   headers of security and of CORS
trace_context.py   request ids and W3C Trace Context
request_log.py   a line of JSON per request
logs.py      the rest of the log, as text or as JSON
tracing.py   whether there are OpenTelemetry spans
spans.py     requests as spans
pages.py     /, /health and /ready
browsing.py  the page at /, /docs, /openapi.json, and static/
openapi.py   the OpenAPI document of what is served
answers.py   its refusals, with examples
exchange.py  what is known of one request while it is answered
limits.py    the answer to requests that are too many, or too late
metrics.py   /metrics, of all workers
drift.py     what all workers have seen of drift, added up
problems.py  exceptions -> application/problem+json
threads.py   native thread pools kept to one thread
drain.py     whether this process is about to end
worker.py    the gunicorn worker: how it ends
loop.py      the worker's accept loop: quick answers, slow clients
connections.py   the worker's sockets and body readers
steady.py    the main process waits by the monotonic clock
"""

try:
    from skdeploy.web.app import create_app
except ModuleNotFoundError as error:
    if error.name not in ("flask", "werkzeug"):
        raise
    raise ModuleNotFoundError("flask is not installed: run pip install 'skdeploy[web]'") from error

__all__ = ["create_app"]
