"""The servers that are measured: one worker process each, and one thread of native code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
OURS = "skdeploy"


@dataclass(frozen=True, slots=True)
class Server:
    """How one server is run. `{port}`, `{model}` and so on are filled in for each start.

    key, label   its name in results.json, and in tables and pictures
    venv         its environment, a folder of .venvs; `{bin}` is that folder's bin
    command, environment, folder   what is run, with which variables, and where
    path, protocol   where it is asked, and how
    kind         floor (answers a constant), ours, alternative (ours under another server), handwritten (ours
                 without skdeploy), peer, or batching (a peer that collects requests, not its default)
    """

    key: str
    label: str
    venv: str
    command: tuple[str, ...]
    folder: Path
    protocol: str
    path: str = "/predict"
    environment: dict[str, str] = field(default_factory=dict)
    kind: str = "peer"


_GTHREAD = ("{bin}/gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", "4")
_GTHREAD_APP = (*_GTHREAD, "--keep-alive", "5", "--bind", "127.0.0.1:{port}", "app:app")
_GUNICORN = ("{bin}/gunicorn", "-c", "web-service/gunicorn.conf.py", "predict:app")
_UVICORN_WORKER = ("{bin}/gunicorn", "-k", "uvicorn_worker.UvicornWorker", "--preload", "--workers", "1")
_UVICORN = ("{bin}/uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log")
_GRANIAN = ("{bin}/granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "4")
_MLFLOW = ("{bin}/mlflow", "models", "serve", "-m", "{mlflow_model}")
_BENTOML = ("{bin}/bentoml", "serve", "service:Flights", "--host", "127.0.0.1", "--port", "{port}")
_BENTOML_QUIET = {"BENTOML_DO_NOT_TRACK": "True"}
_MLSERVER = ("{bin}/mlserver", "start", ".")
_MLSERVER_PLACE = {
    "MLSERVER_MODEL_URI": "{model}",
    "MLSERVER_HTTP_PORT": "{port}",
    "MLSERVER_GRPC_PORT": "{spare_port}",
}


def _ours(key: str, label: str, engine: str, workers: int = 1) -> Server:
    return Server(
        key,
        label,
        "skdeploy",
        _GUNICORN,
        ROOT,
        "skdeploy",
        environment={
            "SKDEPLOY_MODEL_URI": "{model}",
            "PORT": "{port}",
            "WEB_CONCURRENCY": str(workers),
            "SKDEPLOY_ENGINE": engine,
        },
        kind="ours",
    )


def ours_with(workers: int) -> Server:
    """The service with several workers."""
    return _ours(f"skdeploy-{workers}", f"skdeploy, {workers} workers", "auto", workers)


_FLOORS = (
    Server("floor", "floor: no-op WSGI", "skdeploy", _GTHREAD_APP, PEERS / "floor", "skdeploy", kind="floor"),
    Server(
        "noop-asgi",
        "no-op ASGI",
        "noop_asgi",
        (*_UVICORN_WORKER, "--bind", "127.0.0.1:{port}", "app:app"),
        PEERS / "noop_asgi",
        "skdeploy",
        kind="floor",
    ),
)
_HANDWRITTEN = Server(
    "handwritten",
    "written by hand",
    "handwritten",
    (
        *_UVICORN,
        "--no-server-header",
        "--lifespan",
        "off",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "app:app",
    ),
    PEERS / "handwritten",
    "skdeploy",
    environment={"EXPORTED": "{exported}", "ORT_DISABLE_TELEMETRY": "1"},
    kind="handwritten",
)
_OURS = (
    _ours(OURS, "skdeploy", "auto"),
    _ours("skdeploy-sklearn", "skdeploy, SKDEPLOY_ENGINE=sklearn", "sklearn"),
    Server(
        "skdeploy-granian",
        "skdeploy under granian",
        "granian",
        (*_GRANIAN, "--host", "127.0.0.1", "--port", "{port}", "predict:app"),
        ROOT,
        "skdeploy",
        environment={"SKDEPLOY_MODEL_URI": "{model}"},
        kind="alternative",
    ),
)
_PEERS = (
    Server("flask", "naive Flask", "flask", _GTHREAD_APP, PEERS / "flask", "list"),
    Server(
        "fastapi",
        "FastAPI",
        "fastapi",
        (*_UVICORN, "app:app"),
        PEERS / "fastapi",
        "list",
    ),
    Server(
        "mlflow",
        "MLflow",
        "mlflow",
        (*_MLFLOW, "--env-manager", "local", "-h", "127.0.0.1", "-p", "{port}", "-w", "1"),
        PEERS / "mlflow",
        "mlflow",
        "/invocations",
        # MLflow has no setting for the access log; uvicorn, which it starts, has this one.
        {"UVICORN_ACCESS_LOG": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
    ),
    Server(
        "mlserver",
        "MLServer",
        "mlserver",
        _MLSERVER,
        PEERS / "mlserver",
        "v2",
        "/v2/models/flights/infer",
        _MLSERVER_PLACE,
    ),
    Server(
        "bentoml", "BentoML", "bentoml", _BENTOML, PEERS / "bentoml", "records", environment=_BENTOML_QUIET
    ),
    Server("litserve", "LitServe", "litserve", ("{bin}/python", "serve.py"), PEERS / "litserve", "records"),
    Server(
        "kserve",
        "KServe",
        "kserve",
        ("{bin}/python", "serve.py"),
        PEERS / "kserve",
        "v1",
        "/v1/models/flights:predict",
    ),
)
_BATCHING = (
    Server(
        "mlserver-batching",
        "MLServer, batching",
        "mlserver",
        _MLSERVER,
        PEERS / "mlserver",
        "v2",
        "/v2/models/flights/infer",
        {**_MLSERVER_PLACE, "MLSERVER_MODEL_MAX_BATCH_SIZE": "16", "MLSERVER_MODEL_MAX_BATCH_TIME": "0.005"},
        kind="batching",
    ),
    Server(
        "bentoml-batching",
        "BentoML, batching",
        "bentoml",
        _BENTOML,
        PEERS / "bentoml",
        "records",
        environment={**_BENTOML_QUIET, "BATCHING": "1"},
        kind="batching",
    ),
    Server(
        "litserve-batching",
        "LitServe, batching",
        "litserve",
        ("{bin}/python", "serve.py"),
        PEERS / "litserve",
        "records",
        environment={"BATCHING": "1"},
        kind="batching",
    ),
)

SERVERS: dict[str, Server] = {
    server.key: server for server in (*_FLOORS, _HANDWRITTEN, *_OURS, *_PEERS, *_BATCHING)
}
