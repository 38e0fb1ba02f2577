"""How gunicorn runs the service: its configuration file; web-service/README.md lists the settings.

Importing this module reads the environment, like any configuration file of gunicorn, and happens once per
process. It stands outside of `skdeploy.web`, which imports what must find the environment prepared.
"""

import atexit
import math
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

# Before numpy is imported: native thread pools do not survive a fork, and those of several workers
# would wait for each other. Parallelism is the workers' affair.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

# Before prometheus_client is imported: the folder in which the workers' metrics are added up, empty at the
# start. A folder of our own that SIGUSR2's new process inherits is the old one's.
_OWN_METRICS = "_SKDEPLOY_OWN_METRICS_DIR"
if os.environ.get("SKDEPLOY_METRICS") != "0":
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder and folder != os.environ.get(_OWN_METRICS):
        for old in (*Path(folder).glob("*.db"), *Path(folder).glob("drift-*.json")):
            old.unlink()
    else:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        folder = os.environ[_OWN_METRICS] = tempfile.mkdtemp(prefix="skdeploy-metrics-", dir=memory)
        # Workers and the source poller leave without this.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder

# The kernel drops a SIGTERM for which process 1 of a container has no handler, and gunicorn sets its
# own only once the model is loaded.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from skdeploy.config import WebSettings  # noqa: E402
from skdeploy.cpus import usable_cpus  # noqa: E402
from skdeploy.ending import end_process  # noqa: E402
from skdeploy.errors import SettingsError  # noqa: E402
from skdeploy.reload import ModelSwap, PublishedState, SourcePoller, follows_source, process  # noqa: E402
from skdeploy.source import Source  # noqa: E402
from skdeploy.web import logs, metrics, worker  # noqa: E402
from skdeploy.web.app import EXTENSION  # noqa: E402
from skdeploy.web.deaths import Deaths, say_farewell  # noqa: E402
from skdeploy.web.pages import first_steps  # noqa: E402
from skdeploy.web.serving import ONLY, Slot  # noqa: E402

_OWN_STATE = "_SKDEPLOY_OWN_STATE_DIR"
try:
    settings = WebSettings.from_env(os.environ)
    own_state = settings.state_dir in ("", os.environ.get(_OWN_STATE))
    if follows_source(settings) and own_state:
        # skdeploy.web.wsgi reads it as well.
        os.environ["SKDEPLOY_STATE_DIR"] = os.environ[_OWN_STATE] = process.own_folder()
        settings = WebSettings.from_env(os.environ)
    source, state = Source.from_settings(settings), PublishedState(Path(settings.state_dir))
    if follows_source(settings):
        state.make()
except SettingsError as error:
    print(f"The service does not start: {error}", file=sys.stderr)
    raise SystemExit(error.exit_code) from error


service_settings = settings


class Worker(worker.EventLoopWorker):
    """The service's worker."""

    settings = service_settings

    def make_swap(self, slot: Slot, /) -> ModelSwap | None:
        """Of the model in `slot`, for what the source poller publishes."""
        if not follows_source(settings):
            return None
        told = self.service.metrics.reloaded if self.service and self.service.metrics else None
        serves = slot.current.model
        return ModelSwap(source, state, model=serves, apply=slot.swap, on_swap=told)


address = settings.bind_address

if settings.metrics:
    metrics_folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    deaths = Deaths(metrics_folder)

pollers: list[int] = []


def when_ready(server: Any) -> None:
    """Gunicorn's hook, called once in the main process, which has the model: start the source poller."""
    if not follows_source(settings):
        return
    state.begin()
    model = server.app.wsgi().extensions[EXTENSION].models[ONLY].current.model
    poller = SourcePoller(
        source,
        state,
        engine=settings.engine,
        interval=settings.watch_seconds,
        served=(model.file_digest, model.origin.version),
    )
    pollers.append(process.start(poller.run, close=server.LISTENERS))


def pre_fork(_server: object, _starting: Worker) -> None:
    """Gunicorn's hook, called in the main process before it forks a worker, which releases the signals."""
    worker.hold_signals()


def post_worker_init(started: Worker) -> None:
    """Gunicorn's hook, called by a worker that is ready. The last one of the start says how to begin."""
    if started.age != started.cfg.workers or started.service is None:
        return
    about = started.service.models[ONLY].current.about
    name = started.sockets[0].getsockname()
    for line in first_steps(about, name, tls=started.cfg.is_ssl, keys=bool(settings.api_keys_file)):
        started.log.info("%s", line)


def on_exit(_server: object) -> None:
    """Gunicorn's hook, called when the service has ended."""
    process.end(pollers)
    if own := os.environ.get(_OWN_STATE):
        shutil.rmtree(own, ignore_errors=True)


def child_exit(server: Any, ended: Worker) -> None:
    """Gunicorn's hook, called in the main process when a worker has ended."""
    Worker.shares.leave(ended.age)
    if not settings.metrics:
        return
    metrics.forget(metrics_folder, ended.pid)
    reason = deaths.reason(ended.pid, timed_out=ended.aborted)
    service = getattr(server.app.wsgi(), "extensions", {}).get(EXTENSION)
    if reason is not None and service is not None:
        service.metrics.died(reason)


def worker_exit(_server: object, ending: Worker) -> None:
    """Gunicorn's hook, called by a worker that is done: leave at once.

    An interpreter that ends in the ordinary way waits for threads which a client still holds, though
    their SKDEPLOY_GRACEFUL_TIMEOUT is over, and for those of libraries, which did not survive the fork.
    """
    reason = sys.exc_info()[1]
    code = reason.code if isinstance(reason, SystemExit) else 0
    if ending.model_swap is not None:
        ending.model_swap.forget()
    if ending.service is not None:  # else it could not start
        if ending.service.metrics is not None:
            ending.service.metrics.flush()
        ending.service.middleware.end()
    code = code if isinstance(code, int) else 1
    if settings.metrics:
        say_farewell(metrics_folder, ending.pid, code)
    end_process(code)


bind = f"[{address}]:{settings.port}" if ":" in address else f"{address}:{settings.port}"
workers = settings.workers or usable_cpus()
threads = settings.threads
worker_class = Worker
# Load and prove the model once; the workers share its memory.
preload_app = True
keepalive = settings.keepalive
# Beyond them the one that has been idle longest makes room.
worker_connections = 4096
# A second more than a worker gives itself: killed, it would say nothing and flush nothing.
graceful_timeout = math.ceil(settings.graceful_timeout + settings.drain_delay) + 1
# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# A second socket that could command the service is not needed.
control_socket_disable = True
# SKDEPLOY_ACCESS_LOG is skdeploy.web.request_log's affair: it knows what a request was about.
accesslog = None
errorlog = "-"
logger_class = logs.JsonLogger if settings.log_format == "json" else logs.Logger
loglevel = settings.log_level
