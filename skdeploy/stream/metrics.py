"""What every consumer says to Prometheus.

    skdeploy_stream_events_total                       read, and scored or refused
    skdeploy_stream_predictions_total                  handed to the output
    skdeploy_stream_dead_letters_total{reason}
    skdeploy_stream_latency_seconds                    from the event's time to its prediction, acknowledged
    skdeploy_model_info{model,version,sha256,engine}
    skdeploy_drift_psi{column}, _null_share, _unseen_share, _records    see skdeploy.drift.gauges

What is read again, after a failure, is counted again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from skdeploy.drift import Window
from skdeploy.drift.gauges import WindowGauges
from skdeploy.model import Model
from skdeploy.stream.events import REASONS, DeadLetter, Prediction
from skdeploy.stream.process import Processed
from skdeploy.telemetry import MODEL_INFO, MODEL_LABELS, labels_of

PREFIX = "skdeploy_stream_"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

# Milliseconds since 1970.
Times = npt.NDArray[np.int64]


def times_of(predictions: Iterable[Prediction]) -> Times:
    """When their events were, of those that say it."""
    return np.array([one.event.timestamp for one in predictions if one.event.timestamp is not None], np.int64)


class Latency(Collector):
    """A histogram that takes the times of a whole poll at once: one by one would cost too much."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = np.zeros(len(_BUCKETS) + 1, np.int64)
        self._sum = 0.0

    def observe(self, times: Times, now: float | None = None) -> None:
        """Events of these times have their predictions now. A clock that is ahead counts as 0."""
        milliseconds = (time.time() if now is None else now) * 1000
        seconds = np.maximum(0.0, milliseconds - times) / 1000
        places = np.searchsorted(_BUCKETS, seconds, "left")
        with self._lock:
            self._counts += np.bincount(places, minlength=len(self._counts))
            self._sum += float(seconds.sum())

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Prometheus' own form of it."""
        with self._lock:
            counts, total = np.cumsum(self._counts), self._sum
        bounds = [*map(str, _BUCKETS), "+Inf"]
        buckets = [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
        family = HistogramMetricFamily(
            PREFIX + "latency_seconds", "From an event's time to its prediction, acknowledged."
        )
        family.add_metric([], buckets, total)
        return [family]


class Metrics:
    """All metrics of a process, in a registry of its own.

    drift_window   the last records in which drift is looked for; 0: it is not looked for
    """

    def __init__(self, drift_window: int = 0) -> None:
        self.registry = CollectorRegistry()
        self._drift_window = drift_window
        self._drift = WindowGauges()
        self.registry.register(self._drift)
        self.latency = Latency()
        self.registry.register(self.latency)
        self._events = self.counter("events", "Events that were scored or refused.")
        self._predictions = self.counter("predictions", "Predictions handed to the output.")
        self._dead_letters = self.counter("dead_letters", "Events without a prediction.", "reason")
        for reason in REASONS:  # a first one is an increase only if there was none before
            self._dead_letters.labels(reason)
        self._model = Gauge(MODEL_INFO, "The model that serves.", MODEL_LABELS, registry=self.registry)

    def processed(self, predictions: int, letters: Sequence[DeadLetter]) -> None:
        """What was read together is handed over."""
        self._events.inc(predictions + len(letters))
        self._predictions.inc(predictions)
        for reason, count in Tally(letter.reason for letter in letters).items():
            self._dead_letters.labels(reason).inc(count)

    def scored(self, processed: Processed) -> None:
        """What was read together has its predictions."""
        window = self._drift.window
        if window is not None and processed.table is not None:
            window.add(processed.table, processed.outputs)
            window.look_after()

    def serves(self, model: Model) -> None:
        """Another model."""
        self._drift.window = Window.of(model.passport.sketch, self._drift_window)
        self._model.clear()
        self._model.labels(*labels_of(model)).set(1)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A counter of this process."""
        return Counter(PREFIX + name, meaning, labels, registry=self.registry)
