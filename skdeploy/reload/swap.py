"""Puts a published model in the place of the one that a worker serves."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from skdeploy.memory import settle
from skdeploy.model import Model
from skdeploy.reload.published import PublishedState, Worker
from skdeploy.source import Source, distrust, originating, recalled

_log = logging.getLogger(__name__)


class ModelSwap:
    """Loads published models beside the requests, and hands them to `apply`.

    model      the worker's, from its start
    apply      serves a model from the next request on; if it raises, the old one stays
    on_swap    called for each other model with whether it is served now
    """

    def __init__(
        self,
        source: Source,
        state: PublishedState,
        *,
        model: Model,
        apply: Callable[[Model], None],
        on_swap: Callable[[bool], None] | None = None,
    ) -> None:
        self._source = source
        self._state = state
        self._model = model
        self._apply = apply
        self._on_swap = on_swap
        self._stamp = 0
        self._loading: threading.Thread | None = None

    def catch_up(self) -> None:
        """Before the first request: a worker that starts late serves what the others do."""
        self._stamp = self._state.stamp()
        self._load()

    def poll(self) -> None:
        """Called about once a second; costs one `stat` of a file unless something was published."""
        if self._loading is not None and self._loading.is_alive():
            return
        stamp = self._state.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._loading = threading.Thread(target=self._load, name="reload", daemon=True)
            self._loading.start()

    def forget(self) -> None:
        """The worker has ended."""
        self._state.forget(os.getpid())

    def _load(self) -> None:
        failure, before = None, self._model
        try:
            self._take()
        except Exception as error:  # the poller proved it: memory, the disk, or a setting
            _log.exception("The worker keeps its model")
            failure = f"{type(error).__name__}: {error}"
        self._report(failure)
        if self._on_swap is not None and (failure or self._model is not before):
            self._on_swap(failure is None)

    def _take(self) -> None:
        published = self._state.published()
        if published is None:
            return
        record, handover = published
        if reason := distrust(self._source, record):
            _log.warning("The model in SKDEPLOY_STATE_DIR is ignored: %s", reason)
            return
        origin = self._model.origin
        if (record.digest, record.version) == (self._model.file_digest, origin and origin.version):
            return
        loaded = handover.load(name=record.name, where=record.where, trusted=self._source.trusted)
        model = originating(loaded, self._source, recalled(record, b""))
        self._apply(model)
        self._model = model
        settle()
        _log.info("Now serving %s %s", model.passport.name, model.passport.version)

    def _report(self, failure: str | None) -> None:
        origin = self._model.origin
        worker = Worker(
            pid=os.getpid(),
            version=self._model.passport.version,
            sha256=self._model.digest,
            registry_version=origin.version if origin else None,
            failure=failure,
        )
        try:
            self._state.report(worker)
        except OSError as error:
            _log.warning("SKDEPLOY_STATE_DIR cannot be written: %s", error.strerror)
