"""The whole way without Docker: train, log, register, serve; promote another version, and serve that.

    make mlflow-demo                    (python -m examples.mlflow_demo)
    make mlflow-demo ARGS=--keep        leaves all of it running, to look at, until Ctrl-C

Everything listens on free ports of 127.0.0.1, writes to a temporary folder, and ends with the demo.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Never

from examples.servers.mlflow_server import MlflowServer, mlflow_server
from examples.servers.process import Process, ServerError, answers, free_ports
from examples.servers.s3 import s3_server
from skdeploy.config import DECLARED

_ROOT = Path(__file__).resolve().parents[1]
MODEL_URI = "models:/flight-air-time@champion"
FLIGHT = {
    "origin": "JFK",
    "dest": "LAX",
    "carrier": "DL",
    "month": 12,
    "weekday": 3,
    "hour": 17,
    "distance": 2475,
    "temp": 42.1,
    "dewp": 30.0,
    "humid": 62.2,
    "wind_dir": 270,
    "wind_speed": 12.7,
    "pressure": None,
}
_TRAINING_SECONDS = 300


class DemoError(Exception):
    """A step failed; it says which and how."""


def main() -> None:
    """Run every step; the exit code is not 0 if one fails."""
    parser = argparse.ArgumentParser(description="Train, log, register, serve, promote, serve again.")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    options = parser.parse_args()
    # As on Ctrl-C, what was started is ended.
    signal.signal(signal.SIGTERM, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="mlflow-demo-") as folder:
            _run(Path(folder), keep=options.keep)
    except KeyboardInterrupt:
        raise SystemExit("The demo was interrupted; what it started is ended.") from None
    except (DemoError, ServerError) as error:
        raise SystemExit(f"The demo failed: {error}") from error


def _leave(number: int, _frame: FrameType | None) -> Never:
    sys.exit(128 + number)


def _run(folder: Path, *, keep: bool) -> None:
    say("Starting an S3 server (SeaweedFS) and an MLflow tracking server that keeps its artifacts in it")
    with s3_server(folder) as s3, mlflow_server(folder, s3) as server:
        print(f"S3 listens on {s3.endpoint}, MLflow on {server.uri}")
        say("Training the first version, logging it, making it champion: train.py --mlflow --promote")
        train(server, folder, seed=13)
        say(f"Serving {MODEL_URI}")
        with service(server, folder) as port:
            say("Posting a flight from New York to Los Angeles")
            first = predict(port)
            say("Training a second version with another seed, and making that champion")
            train(server, folder, seed=14)
            say("Waiting for the service to answer with the new champion")
            wait_for_another_version(port, first["model"]["version"])
            say("Posting the same flight")
            predict(port)
            if keep:
                say(f"Running: MLflow's pages are at {server.uri}. Ctrl-C ends it")
                signal.pause()
        say("Done. Ending what was started")


def say(step: str) -> None:
    """Print a step's heading."""
    print(f"\n--- {step}", flush=True)


def train(server: MlflowServer, folder: Path, seed: int) -> None:
    """Run train.py with the server's environment; DemoError if it fails."""
    command = [sys.executable, "train.py", "--mlflow", "--promote", "--quiet", "--seed", str(seed)]
    command += ["--out", str(folder / "model.bin")]
    environment = {**os.environ, **server.environment, "MLFLOW_DISABLE_TELEMETRY": "true"}
    try:
        subprocess.run(  # noqa: S603 (our own train.py)
            command, cwd=_ROOT, env=environment, check=True, timeout=_TRAINING_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise DemoError(f"train.py: {error}") from error


@contextlib.contextmanager
def service(server: MlflowServer, folder: Path) -> Iterator[int]:
    """The web service as `make serve` starts it, but for its model, which it follows; its port."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "skdeploy", "serve"]
    environment = _service_environment(server.environment, folder, port)
    log_file = folder / "service.log"
    process = Process(
        "the service", command, environment, log_file, lambda: answers(port, "/ready"), folder=_ROOT
    )
    try:
        process.start()
        print(f"It is ready at http://127.0.0.1:{port}")
        yield port
    finally:
        process.stop()


def _service_environment(found_by: Mapping[str, str], folder: Path, port: int) -> dict[str, str]:
    # Whatever the environment of the demo says, the service has these settings and no others.
    inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
    own = {
        "SKDEPLOY_MODEL_URI": MODEL_URI,
        "SKDEPLOY_MODEL_CACHE": str(folder / "cache"),
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
    }
    own["SKDEPLOY_WATCH_SECONDS"] = "1"
    return {**inherited, **found_by, **own, "MLFLOW_DISABLE_TELEMETRY": "true"}


def predict(port: int) -> dict[str, Any]:
    """Post the flight and print what came; DemoError if that is no prediction."""
    status, answer = _ask(port, "POST", "/predict", json.dumps(FLIGHT))
    print(json.dumps(answer))
    if status != 200:
        raise DemoError(f"POST /predict answered {status}: {answer}")
    return answer


def wait_for_another_version(port: int, old: str, seconds: float = 60) -> str:
    """Poll GET / until the model's version is not `old`; DemoError if it stays."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _, about = _ask(port, "GET", "/")
        if (new := about["model"]["version"]) != old:
            print(f"The service went from the version {old} to {new}")
            return str(new)
        time.sleep(0.5)
    raise DemoError(f"after {seconds:g} seconds the service still answers with the version {old}")


def _ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, dict[str, Any]]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


if __name__ == "__main__":
    main()
