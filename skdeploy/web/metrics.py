"""What the service says to Prometheus at /metrics, of all of gunicorn's workers together.

    skdeploy_requests_total{route,method,status}
    skdeploy_request_duration_seconds{route}        from a request's arrival to its answer, waiting included
    skdeploy_phase_duration_seconds{phase}          parse, predict, encode
    skdeploy_records_total{result}                  predicted, rejected, unscorable
    skdeploy_rejected_cells_total{column,reason}    reasons: skdeploy.errors.CELL_CODES
    skdeploy_model_info{model,version,sha256,engine}    1: a worker serves it; 0: it did
    skdeploy_model_reloads_total{result}            ok, failed; of each worker
    skdeploy_reload_failing                        1: the last poll of the source failed
    skdeploy_requests_in_flight                     the mean of the last second
    skdeploy_workers                                workers that live
    skdeploy_drift_*                                skdeploy.drift

A request adds to plain numbers of its worker, which takes two microseconds; once a second they go to
prometheus_client, whose files in PROMETHEUS_MULTIPROC_DIR the workers share. So a worker that is killed
takes up to a second of counts with it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from skdeploy.reload import Control
from skdeploy.web.context import RequestContext
from skdeploy.web.drift import Board
from skdeploy.web.drift import forget as forget_drift
from skdeploy.web.serving import Slot

# Seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FLUSH_SECONDS = 1.0
# What callers made up, paths, methods and keys, shares one label: else each would be a time series for ever.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
OTHER = "(other)"
UNKNOWN = "(unknown)"
RECORD = "(record)"


class _Bins:
    """A histogram that costs little to add to."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(BUCKETS, value)] += 1
        self.total += value

    def move_to(self, histogram: prometheus_client.Histogram) -> None:
        """prometheus_client observes one value at a time; it is told of all of them at once."""
        histogram._sum.inc(self.total)
        for bucket, count in zip(histogram._buckets, self.counts, strict=True):
            if count:
                bucket.inc(count)


class Metrics:
    """Counts requests in one process; `render` is the whole service's. Safe to call from threads."""

    def __init__(self, slot: Slot, folder: Path | None = None, control: Control | None = None) -> None:
        """`folder` is PROMETHEUS_MULTIPROC_DIR, if gunicorn's workers share one."""
        self._slot = slot
        self._folder = folder
        self._drift = Board(folder, slot)
        self._asked: list[Collector] = [self._drift, *([_LastPoll(control)] if control else [])]
        self._families = _Families(CollectorRegistry())
        self._lock = threading.Lock()
        self._in_flight = 0
        self._model: tuple[str, ...] | None = None
        self._clear(time.monotonic())

    def _clear(self, now: float) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._records: Counter[str] = Counter()
        self._cells: Counter[tuple[str, str]] = Counter()
        self._durations: defaultdict[str, _Bins] = defaultdict(_Bins)
        self._phases: defaultdict[str, _Bins] = defaultdict(_Bins)
        # Seconds in flight since then: a request takes off the time when it began, and adds that of its end.
        self._area = -self._in_flight * now
        self._flushed = now

    def begin(self, context: RequestContext) -> None:
        """A request is taken up."""
        with self._lock:
            self._in_flight += 1
            self._area -= context.began

    def end(self, contexts: Sequence[RequestContext], now: float) -> None:
        """Requests have their answers; `now` is time.monotonic()."""
        with self._lock:
            self._in_flight -= len(contexts)
            self._area += len(contexts) * now
            for context in contexts:
                route = context.route or OTHER
                method = context.method if context.method in METHODS else OTHER
                self._requests[route, method, context.status] += 1
                self._durations[route].add(context.seconds)
                if context.parse is not None:
                    self._add_records(context)
            due = now - self._flushed >= _FLUSH_SECONDS
        if due:
            self.flush()

    def _add_records(self, context: RequestContext) -> None:
        phases = self._phases
        phases["parse"].add(context.parse or 0.0)
        if context.predict is not None:
            phases["predict"].add(context.predict)
        if context.encode is not None:
            phases["encode"].add(context.encode)
        records = self._records
        records["predicted"] += context.predicted
        if context.rejected:
            records["rejected"] += context.rejected
            self._cells.update((_column(cell.column, cell.code), cell.code) for cell in context.bad)
        if context.unscorable:
            records["unscorable"] += context.unscorable

    def beat(self) -> None:
        """Once a second in every worker: what was counted is told, of an idle one too."""
        self.flush()
        self._drift.publish(os.getpid())

    def _tell_model(self) -> None:
        model = self._slot.current.model
        passport = model.passport
        labels = (passport.name, passport.version, model.digest[:16], model.engine.name)
        if labels != self._model:
            if self._model is not None:
                self._families.model.labels(*self._model).set(0)
            self._families.model.labels(*labels).set(1)
            self._model = labels

    def reloaded(self, well: bool) -> None:
        """The worker has taken another model, or could not."""
        self._families.reloads.labels("ok" if well else "failed").inc()

    def flush(self) -> None:
        """Tell prometheus_client what was counted since the last time."""
        families = self._families
        with self._lock:
            now = time.monotonic()
            mean = (self._area + self._in_flight * now) / max(now - self._flushed, 1e-3)
            counted = (self._requests, self._records, self._cells, self._durations, self._phases)
            self._clear(now)
        self._tell_model()
        requests, records, cells, durations, phases = counted
        families.in_flight.set(mean)
        families.workers.set(1)
        for (route, method, status), count in requests.items():
            families.requests.labels(route, method, str(status)).inc(count)
        for result, count in records.items():
            families.records.labels(result).inc(count)
        for (column, reason), count in cells.items():
            families.cells.labels(column, reason).inc(count)
        for route, bins in durations.items():
            bins.move_to(families.durations.labels(route))
        for phase, bins in phases.items():
            bins.move_to(families.phases.labels(phase))

    def render(self, accept: str) -> tuple[bytes, str]:
        """The service's metrics in the format that `accept` asks for, and its content type."""
        self.flush()
        registry = CollectorRegistry()
        if self._folder is None:
            registry.register(self._families.registry)
        else:
            _Shared(registry, str(self._folder))  # type: ignore[no-untyped-call]
        for collector in self._asked:
            registry.register(collector)
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type


class _Shared(MultiProcessCollector):
    """What all workers have counted; one that just starts has a file that is empty for a moment."""

    def collect(self) -> Any:
        return self.merge(_filled(self._path))  # type: ignore[no-untyped-call]


def _filled(folder: str) -> Iterator[str]:
    for path in Path(folder).glob("*.db"):
        with contextlib.suppress(FileNotFoundError):  # its worker has just ended
            if path.stat().st_size:
                yield str(path)


class _LastPoll(Collector):
    """A model that the source poller refused never reaches a worker."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[GaugeMetricFamily]:
        poll = self._control.last_poll()
        if poll is not None:
            meaning = "1: the last poll of MODEL_URI failed, and the model before it serves."
            yield GaugeMetricFamily("skdeploy_reload_failing", meaning, float(poll.failure is not None))


class _Families:
    """What prometheus_client keeps, in this process or in the files of all of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, meaning: str, *labels: str) -> prometheus_client.Counter:
            return prometheus_client.Counter(f"skdeploy_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, label: str) -> prometheus_client.Histogram:
            return prometheus_client.Histogram(
                f"skdeploy_{name}", meaning, [label], registry=registry, buckets=BUCKETS
            )

        self.requests = counter("requests", "Requests that were answered.", "route", "method", "status")
        self.durations = histogram(
            "request_duration_seconds", "From a request's arrival to its answer.", "route"
        )
        self.phases = histogram("phase_duration_seconds", "Parts of a prediction.", "phase")
        self.records = counter("records", "Records by what became of them.", "result")
        self.cells = counter("rejected_cells", "Bad cells of rejected records.", "column", "reason")
        self.model = prometheus_client.Gauge(
            "skdeploy_model_info",
            "1: the model that is served; 0: one that was.",
            ["model", "version", "sha256", "engine"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.reloads = counter("model_reloads", "Other models that a worker took, or could not.", "result")
        self.in_flight = prometheus_client.Gauge(
            "skdeploy_requests_in_flight",
            "Requests in flight, the mean of the last second.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.workers = prometheus_client.Gauge(
            "skdeploy_workers", "Workers that live.", registry=registry, multiprocess_mode="livesum"
        )


def _column(column: str | None, reason: str) -> str:
    if column is None:
        return RECORD
    return UNKNOWN if reason == "unknown_column" else column


def shared_folder(environ: Mapping[str, str]) -> Path | None:
    """Where gunicorn's workers add up, if they do: prometheus_client looks there too, when it is imported."""
    folder = environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None


def forget(folder: Path, pid: int) -> None:
    """A worker has ended: its gauges count no longer; what it counted stays."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    forget_drift(folder, pid)
