"""The shards of a stream in turn: a read, one call of the engine, its predictions, its checkpoint."""

from __future__ import annotations

import logging
import time
from typing import Any

from skdeploy.stream.events import Event
from skdeploy.stream.kinesis.checkpoints import SHARD_END, Checkpoints
from skdeploy.stream.kinesis.metrics import Metrics
from skdeploy.stream.kinesis.sending import Sender
from skdeploy.stream.kinesis.shards import Shard, ShardReader, list_shards, readable
from skdeploy.stream.metrics import times_of
from skdeploy.stream.process import Processed, Processor
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

_LIST_SECONDS = 5.0
_IDLE_SECONDS = 0.05
# Between two looks at the lease while a stream takes nothing.
_SEND_SECONDS = 1.0


class Consumption:
    """Scores a stream until it is told to stop. Nothing is checkpointed before it is acknowledged.

    client   of Kinesis, which does not retry by itself
    latest   shards without a checkpoint begin when the stream's first consumer began, else at their beginning
    """

    def __init__(
        self,
        client: Any,
        stream: str,
        processor: Processor,
        sender: Sender,
        checkpoints: Checkpoints,
        metrics: Metrics,
        stop: Stop,
        *,
        latest: bool = False,
    ) -> None:
        self._client, self._stream, self._stop = client, stream, stop
        self._processor, self._sender = processor, sender
        self._checkpoints, self._metrics = checkpoints, metrics
        self._latest = latest
        self._since: float | None = None
        self._done: dict[str, str] = {}
        self._shards: list[Shard] = []
        self._readers: dict[str, ShardReader] = {}
        self._list_due = 0.0

    def run(self) -> None:
        """Go on behind the checkpoints. The lease must be held. Raises StreamError or PredictionFailed."""
        self._done = self._checkpoints.read()
        # Not LATEST: who died before its first checkpoint would begin behind what came meanwhile.
        self._since = self._checkpoints.began() if self._latest else None
        while not self._stop.is_set():
            self._list()
            worked = False
            for shard in readable(self._shards, self._done):
                worked = self._turn(shard) or worked
                if self._stop.is_set():
                    return
            self._checkpoints.renew()
            if not worked:
                time.sleep(_IDLE_SECONDS)

    def _list(self) -> None:
        """Look at what shards there are, now and then, and when one is at its end."""
        if time.monotonic() >= self._list_due:
            self._shards = list_shards(self._client, self._stream, self._stop)
            self._list_due = time.monotonic() + _LIST_SECONDS

    def _turn(self, shard: Shard) -> bool:
        """One read of a shard, if it is due; whether it brought anything."""
        if shard.name not in self._readers:
            done = self._done.get(shard.name)
            self._readers[shard.name] = ShardReader(self._client, self._stream, shard.name, done, self._since)
        reader = self._readers[shard.name]
        if time.monotonic() < reader.due:
            return False
        events, ended = reader.read(is_closed=shard.is_closed)
        self._metrics.behind(shard.name, reader.behind)
        if events:
            self._score(events)
        if events or ended:
            self._checkpoint(shard.name, SHARD_END if ended else str(events[-1].position.number))
        if ended:
            del self._readers[shard.name]
            self._metrics.ended(shard.name)
            self._list_due = 0.0
        return bool(events)

    def _score(self, events: list[Event]) -> None:
        """Predictions and dead letters, acknowledged; as long as that takes, or until patience is over."""
        processed = self._processor.process(events)
        left = processed
        while True:
            left = self._sender.send(left, time.monotonic() + _SEND_SECONDS)
            if not left.predictions and not left.dead_letters:
                break
            self._stop.check()
            self._checkpoints.renew()
        self._tell(processed)
        _log.info(
            "%d events: %d predictions, %d dead letters",
            *(len(events), len(processed.predictions), len(processed.dead_letters)),
        )

    def _checkpoint(self, shard: str, done: str) -> None:
        self._checkpoints.write(shard, done)
        self._metrics.checkpointed()
        self._done[shard] = done

    def _tell(self, processed: Processed) -> None:
        metrics, predictions = self._metrics, processed.predictions
        metrics.processed(len(predictions), processed.dead_letters)
        metrics.scored(processed)
        metrics.latency.observe(times_of(predictions))
