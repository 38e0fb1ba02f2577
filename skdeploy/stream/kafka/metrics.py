"""What a consumer of Kafka says to Prometheus besides what all consumers say.

skdeploy_stream_lag{topic,partition}   events of our partitions that are not committed
skdeploy_stream_commits_total          of offsets, or of transactions
skdeploy_stream_rebalances_total       partitions that came, went or were lost
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Gauge

from skdeploy.stream import metrics
from skdeploy.stream.kafka.assignment import Partition


class Metrics(metrics.Metrics):
    """All metrics of a consumer of Kafka."""

    def __init__(self, drift_window: int = 0) -> None:
        super().__init__(drift_window)
        self._commits = self.counter("commits", "Commits of offsets, or of transactions.")
        self._rebalances = self.counter("rebalances", "Times that partitions came, went or were lost.")
        self._lag = Gauge(
            metrics.PREFIX + "lag", "Events not committed.", ["topic", "partition"], registry=self.registry
        )
        self._shown: set[Partition] = set()

    def committed(self) -> None:
        """A commit."""
        self._commits.inc()

    def rebalanced(self) -> None:
        """Partitions came or went."""
        self._rebalances.inc()

    def lags(self, lags: Mapping[Partition, int]) -> None:
        """How far behind we are; partitions that are another's are no longer shown."""
        for topic, partition in self._shown - lags.keys():
            self._lag.remove(topic, str(partition))
        self._shown = set(lags)
        for (topic, partition), lag in lags.items():
            self._lag.labels(topic, str(partition)).set(lag)
