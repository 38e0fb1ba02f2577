"""What a consumer of Kinesis says to Prometheus besides what all consumers say.

skdeploy_stream_behind_seconds{shard}   how old what was last read is: 0 at the shard's tip
skdeploy_stream_checkpoints_total       of shards
skdeploy_stream_lease                   1: it consumes; 0: it waits while another one does
"""

from __future__ import annotations

from prometheus_client import Gauge

from skdeploy.stream import metrics


class Metrics(metrics.Metrics):
    """All metrics of a consumer of Kinesis."""

    def __init__(self, drift_window: int = 0) -> None:
        super().__init__(drift_window)
        self._checkpoints = self.counter("checkpoints", "Checkpoints of shards.")
        self._behind = Gauge(
            metrics.PREFIX + "behind_seconds",
            "How old what was last read is; 0 at the shard's tip.",
            ["shard"],
            registry=self.registry,
        )

        self._lease = Gauge(
            metrics.PREFIX + "lease", "1: it consumes; 0: another one does.", registry=self.registry
        )

    def has_lease(self) -> None:
        """It consumes from now on."""
        self._lease.set(1)

    def checkpointed(self) -> None:
        """A checkpoint."""
        self._checkpoints.inc()

    def behind(self, shard: str, seconds: float) -> None:
        """What was last read of a shard."""
        self._behind.labels(shard).set(seconds)

    def ended(self, shard: str) -> None:
        """Nothing more comes of it."""
        self._behind.remove(shard)
