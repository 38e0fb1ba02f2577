"""What the service says to Prometheus at /metrics, of all of gunicorn's workers together.

    skdeploy_requests_total{route,method,status}
    skdeploy_request_duration_seconds{route}        from its first byte to its answer, waiting included
    skdeploy_phase_duration_seconds{phase}          parse, predict, encode
    skdeploy_records_total{result}                  predicted, rejected, unscorable, unanswered
    skdeploy_rejected_cells_total{column,reason}    reasons: skdeploy.errors.CELL_CODES
    skdeploy_model_info{model,version,sha256,engine}    1: a worker serves it; 0: it did
    skdeploy_model_stale                            1: a worker serves the cache's copy, its source being down
    skdeploy_model_reloads_total{result}            ok, failed; of each worker
    skdeploy_reload_failing                        1: the last poll of the source failed
    skdeploy_requests_in_flight                     the mean of the last second, waiting included
    skdeploy_loop_lag_seconds                       how long bytes waited in the kernel for the event loop
    skdeploy_loop_busy_seconds_total                time in which event loops computed, or waited for a CPU
    skdeploy_workers                                workers that live
    skdeploy_worker_deaths_total{reason}            exit, killed, out_of_memory, timeout
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from skdeploy.errors import CELL_CODES
from skdeploy.reload import Control
from skdeploy.telemetry import MODEL_LABELS, labels_of
from skdeploy.web.context import RequestContext
from skdeploy.web.drift import Board
from skdeploy.web.drift import forget as forget_drift
from skdeploy.web.routes import OTHER, PREDICT, ROUTES, Route
from skdeploy.web.serving import Slot

# Seconds. The edges of the requests' duration are the E12 series from 0.1 ms to 33 s: at most 25 % apart.
_E12 = ("1", "1.2", "1.5", "1.8", "2.2", "2.7", "3.3", "3.9", "4.7", "5.6", "6.8", "8.2")
FINE = tuple(edge for power in range(-4, 2) for step in _E12 if (edge := float(f"{step}e{power}")) < 35)
COARSE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FLUSH_SECONDS = 1.0
# A first failure is an increase only if its counter stood at 0 before.
RESULTS = ("predicted", "rejected", "unscorable", "unanswered")
PHASES = ("parse", "predict", "encode")
DEATHS = ("exit", "killed", "out_of_memory", "timeout")
_USUAL = (200, 401, 500, 503)
_REFUSALS = (400, 408, 413, 415, 422, 499)
_NO_REQUEST = (400, 408, 413, 431)
# What callers made up, paths, methods and keys, shares one label: else each would be a time series for ever.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
OTHER_METHOD = "(other)"
UNKNOWN = "(unknown)"
RECORD = "(record)"


class Bins:
    """A histogram that costs little to add to."""

    __slots__ = ("_counts", "_edges", "_total")

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._edges, value)] += 1
        self._total += value

    def move_to(self, histogram: prometheus_client.Histogram) -> None:
        """Begin anew. prometheus_client observes one value at a time; it is told of all of them at once."""
        counts, self._counts = self._counts, [0] * (len(self._edges) + 1)
        total, self._total = self._total, 0.0
        if total:
            histogram._sum.inc(total)
        for bucket, count in zip(histogram._buckets, counts, strict=True):
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
        self.lag = Bins(COARSE)
        self._durations = defaultdict[str, Bins](lambda: Bins(FINE))
        self._phases = {phase: Bins(COARSE) for phase in PHASES}
        self._clear()
        self._measure_from(time.monotonic())
        self._tell_model()

    def _clear(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._records: Counter[str] = Counter()
        self._cells: Counter[tuple[str, str]] = Counter()

    def _measure_from(self, now: float) -> None:
        # Seconds in flight since then: a request takes off the time when it began, and adds that of its end.
        self._area = -self._in_flight * now
        self._measured = now

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
                route = context.route.path
                method = context.method if context.method in METHODS else OTHER_METHOD
                self._requests[route, method, context.status] += 1
                self._durations[route].add(context.seconds)
                if context.parse is not None:
                    self._add_records(context)
            due = now - self._measured >= 2 * _FLUSH_SECONDS
        if due:  # no worker's loop beats here
            self.flush()

    def _add_records(self, context: RequestContext) -> None:
        phases = self._phases
        phases["parse"].add(context.parse or 0.0)
        if context.predict is not None:
            phases["predict"].add(context.predict)
        if context.encode is not None:
            phases["encode"].add(context.encode)
        records = self._records
        if context.status == HTTPStatus.OK:
            records["predicted"] += context.predicted
        elif context.records:
            records["unanswered"] += context.records - context.rejected - context.unscorable
        if context.rejected:
            records["rejected"] += context.rejected
            self._cells.update((_column(cell.column, cell.code), cell.code) for cell in context.bad)
        if context.unscorable:
            records["unscorable"] += context.unscorable

    def beat(self, busy: float) -> Iterator[None]:
        """Once a second in every worker: what was counted is told, of an idle one too; in pieces.

        busy   seconds that its event loop has been busy since the last beat
        """
        self._families.busy.inc(busy)
        self.flush()
        yield
        yield from self._drift.publish(os.getpid())

    def died(self, reason: str) -> None:
        """A worker has ended that nobody told to; the main process says so. `reason` is one of `DEATHS`."""
        self._families.deaths.labels(reason).inc()

    def _tell_model(self) -> None:
        model = self._slot.current.model
        self._families.stale.set(float(model.origin is not None and model.origin.stale))
        labels = labels_of(model)
        if labels != self._model:
            if self._model is not None:
                self._families.model.labels(*self._model).set(0)
            self._families.model.labels(*labels).set(1)
            self._families.start_cells(model.schema.names)
            self._model = labels

    def reloaded(self, well: bool) -> None:
        """The worker has taken another model, or could not."""
        self._families.reloads.labels("ok" if well else "failed").inc()

    def flush(self) -> None:
        """Tell prometheus_client what was counted since the last time."""
        families = self._families
        self._tell_model()
        with self._lock:
            now = time.monotonic()
            passed = now - self._measured
            if passed > _FLUSH_SECONDS / 2:  # a scrape in between tells of no time of its own
                families.in_flight.set((self._area + self._in_flight * now) / passed)
                self._measure_from(now)
            requests, records, cells = self._requests, self._records, self._cells
            self._clear()
            for route, bins in self._durations.items():
                bins.move_to(families.durations.labels(route))
            for phase, bins in self._phases.items():
                bins.move_to(families.phases.labels(phase))
            self.lag.move_to(families.lag)
        families.workers.set(1)
        for (route, method, status), count in requests.items():
            families.requests.labels(route, method, str(status)).inc(count)
        for result, count in records.items():
            families.records.labels(result).inc(count)
        for (column, reason), count in cells.items():
            families.cells.labels(column, reason).inc(count)

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
            meaning = "1: the last poll of SKDEPLOY_MODEL_URI failed, and the model before it serves."
            yield GaugeMetricFamily("skdeploy_reload_failing", meaning, float(poll.failure is not None))


class _Families:
    """What prometheus_client keeps, in this process or in the files of all of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, meaning: str, *labels: str) -> prometheus_client.Counter:
            return prometheus_client.Counter(f"skdeploy_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, mode: Any, *labels: str) -> prometheus_client.Gauge:
            return prometheus_client.Gauge(
                f"skdeploy_{name}", meaning, labels, registry=registry, multiprocess_mode=mode
            )

        def histogram(
            name: str, meaning: str, edges: Sequence[float], *labels: str
        ) -> prometheus_client.Histogram:
            return prometheus_client.Histogram(
                f"skdeploy_{name}", meaning, labels, registry=registry, buckets=edges
            )

        self.requests = counter("requests", "Requests that were answered.", "route", "method", "status")
        self.durations = histogram(
            "request_duration_seconds", "From a request's first byte to its answer.", FINE, "route"
        )
        self.phases = histogram("phase_duration_seconds", "Parts of a prediction.", COARSE, "phase")
        self.records = counter("records", "Records by what became of them.", "result")
        self.cells = counter("rejected_cells", "Bad cells of rejected records.", "column", "reason")
        self.model = gauge(
            "model_info",
            "1: the model that is served; 0: one that was.",
            "mostrecent",
            *MODEL_LABELS,
        )
        self.stale = gauge(
            "model_stale",
            "1: the model is the last good one, from the cache: its source was down.",
            "livemax",
        )
        self.reloads = counter("model_reloads", "Other models that a worker took, or could not.", "result")
        self.in_flight = gauge(
            "requests_in_flight", "Requests in flight, waiting included: the mean of a second.", "livesum"
        )
        self.lag = histogram("loop_lag_seconds", "How long bytes waited for the event loop.", COARSE)
        self.busy = counter(
            "loop_busy_seconds", "Time in which the event loops computed, or waited for a CPU."
        )
        self.workers = gauge("workers", "Workers that live.", "livesum")
        self.deaths = counter("worker_deaths", "Workers that ended without being told to.", "reason")
        self._start()

    def _start(self) -> None:
        for route, method, status in _started():
            self.requests.labels(route.path, method, str(status))
        self.durations.labels(PREDICT.path)
        for family, values in (
            (self.phases, PHASES),
            (self.records, RESULTS),
            (self.reloads, ("ok", "failed")),
            (self.deaths, DEATHS),
        ):
            for value in values:
                family.labels(value)

    def start_cells(self, columns: Iterable[str]) -> None:
        """The counters of all that can be wrong with records of these columns."""
        self.cells.labels(RECORD, "type")
        self.cells.labels(UNKNOWN, "unknown_column")
        for column in columns:
            for reason in CELL_CODES:
                if reason != "unknown_column":
                    self.cells.labels(column, reason)


def _started() -> Iterator[tuple[Route, str, int]]:
    """The route, method and status of each counter of requests that stands at 0 from the start."""
    for route in ROUTES:
        for method in route.methods:
            for status in _USUAL:
                if status != HTTPStatus.UNAUTHORIZED or not route.open:
                    yield route, method, status
        for status in (200, 204):  # Flask's answer, and the one to a browser's preflight
            yield route, "OPTIONS", status
        for method in {*METHODS, OTHER_METHOD}.difference(route.methods, ["OPTIONS"]):
            yield route, method, 405
    for status in _REFUSALS:
        yield PREDICT, "POST", status
    for method in (*METHODS, OTHER_METHOD):
        yield OTHER, method, 404
    for status in _NO_REQUEST:
        yield OTHER, OTHER_METHOD, status


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
