"""What was published, brought into one worker."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable

from skdeploy.model import Model, measured
from skdeploy.source import Source, build, distrust, recalled
from skdeploy.watch.state import State, Worker

_log = logging.getLogger(__name__)


class Follower:
    """Loads what was published beside the requests, and gives it to `swap`.

    serves   the model that the worker has from its start
    swap     takes a model; the next request has it. It may raise, and the old one stays
    told     is told of each other model whether it was taken; nobody is if None
    """

    def __init__(
        self,
        source: Source,
        state: State,
        *,
        engine: str,
        serves: Model,
        swap: Callable[[Model], None],
        told: Callable[[bool], None] | None = None,
    ) -> None:
        self._source = source
        self._state = state
        self._engine = engine
        self._serves = serves
        self._swap = swap
        self._told = told
        self._stamp = 0
        self._loading: threading.Thread | None = None

    def catch_up(self) -> None:
        """Before the first request: a worker that starts late serves what the others do."""
        self._stamp = self._state.stamp()
        self._load()

    def poll(self) -> None:
        """Called about once a second; costs one look at a file unless something was published."""
        if self._loading is not None and self._loading.is_alive():
            return
        stamp = self._state.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._loading = threading.Thread(target=self._load, name="follower", daemon=True)
            self._loading.start()

    def forget(self) -> None:
        """The worker has ended."""
        self._state.forget(os.getpid())

    def _load(self) -> None:
        failure, served = None, self._serves
        try:
            self._take()
        except Exception as error:  # it was proved by the watcher: memory, the disk, or a setting
            _log.exception("The worker keeps its model")
            failure = f"{type(error).__name__}: {error}"
        self._report(failure)
        if self._told is not None and (failure or self._serves is not served):
            self._told(failure is None)

    def _take(self) -> None:
        published = self._state.published()
        if published is None:
            return
        record, content = published[0].source, published[1]
        if reason := distrust(self._source, record):
            _log.warning("The model in STATE_DIR is ignored: %s", reason)
            return
        origin = self._serves.origin
        if (record.digest, record.version) == (self._serves.digest, origin and origin.version):
            return
        model = measured(build(self._source, recalled(record, content), engine=self._engine))
        self._swap(model)
        self._serves = model
        # As at the start: no later collection walks the new model's objects.
        gc.collect()
        gc.freeze()
        _log.info("Now serving %s %s", model.passport.name, model.passport.version)

    def _report(self, failure: str | None) -> None:
        origin = self._serves.origin
        worker = Worker(
            pid=os.getpid(),
            version=self._serves.passport.version,
            sha256=self._serves.digest,
            registry_version=origin.version if origin else None,
            failure=failure,
        )
        try:
            self._state.report(worker)
        except OSError as error:
            _log.warning("STATE_DIR cannot be written: %s", error.strerror)
