"""Drift across gunicorn's workers: each writes what it has seen, whoever is asked adds it up.

A worker's counts are a file of a folder that the workers share, in memory (/dev/shm): as metrics of
their own they would be a time series for each bin of each column.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from skdeploy.drift import drifted
from skdeploy.drift.gauges import families
from skdeploy.drift.psi import records
from skdeploy.web.serving import Slot
from skdeploy.writing import write

_log = logging.getLogger(__name__)

_NAME = "drift-{}.json"


class _Seen(msgspec.Struct, frozen=True):
    """What a worker has seen of a model, by digest: the counts of all bins."""

    digest: str
    counts: list[float]


class Board(Collector):
    """The workers' windows, and Prometheus' own form of all of them together.

    folder   which the workers share, and nobody else; it is there. None: this process is the service
    slot     whose model is asked for
    """

    def __init__(self, folder: Path | None, slot: Slot) -> None:
        self._folder = folder
        self._slot = slot
        self._written = b""
        self._failed = False

    def publish(self, pid: int) -> Iterator[None]:
        """Write what the worker of this number has seen; about once a second, in pieces."""
        serving = self._slot.current
        if serving.drift is None or self._folder is None:
            return
        yield from serving.drift.folding()
        seen = _Seen(serving.model.digest, serving.drift.total.tolist())
        content = msgspec.json.encode(seen)
        if content == self._written:
            return
        try:
            write(self._folder / _NAME.format(pid), content)
        except OSError as error:
            # Requests are answered all the same. Said once, not every second.
            if not self._failed:
                _log.warning("Drift is not told: %s cannot be written: %s", self._folder, error.strerror)
            self._failed = True
            return
        self._written, self._failed = content, False

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of `skdeploy.drift.gauges`, of all workers that have the model which is served here."""
        serving = self._slot.current
        if serving.drift is None:
            return
        meter = serving.drift.meter
        if self._folder is None:
            window = serving.drift
            yield from families(window.drifted(), records(meter.sketch, window.counts))
            return
        total = np.zeros(meter.size)
        for seen in self._seen():
            if seen.digest == serving.model.digest and len(seen.counts) == meter.size:
                total += seen.counts
        counts = meter.by_column(total)
        yield from families(drifted(meter.sketch, counts), records(meter.sketch, counts))

    def _seen(self) -> Iterator[_Seen]:
        for path in (self._folder or Path()).glob(_NAME.format("*")):
            with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
                yield msgspec.json.decode(path.read_bytes(), type=_Seen)


def forget(folder: Path, pid: int) -> None:
    """A worker has ended: what it saw counts no longer."""
    (folder / _NAME.format(pid)).unlink(missing_ok=True)
