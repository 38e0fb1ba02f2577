"""The shards of a stream: which may be read, and what one call reads of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from skdeploy.errors import StreamError
from skdeploy.stream.events import Event, Position
from skdeploy.stream.kinesis.checkpoints import SHARD_END
from skdeploy.stream.kinesis.client import code_of, passes, refused, transport_errors
from skdeploy.stream.kinesis.retrying import until_it_works
from skdeploy.stream.stopping import Stop

# Amazon's limits are 10,000 records of a call, and 5 calls a second of a shard, over all who read it.
_MOST_RECORDS = 10_000
SECONDS_BETWEEN_READS = 0.25
# A shard that gave its 2 MB of a second refuses more for a while.
_REFUSED_SECONDS = 1.0


class Shard(NamedTuple):
    """A shard as it is listed. Closed ones take no more records, and their children do."""

    name: str
    parents: tuple[str, ...]
    is_closed: bool


def list_shards(client: Any, stream: str, stop: Stop) -> list[Shard]:
    """All that are kept. Raises StreamError if there is no such stream."""
    found: list[Any] = []
    request: dict[str, Any] = {"StreamName": stream}
    while request:
        try:
            answer = until_it_works(
                lambda asked=request: client.list_shards(**asked),  # type: ignore[misc]
                f"The stream {stream} did not list its shards",
                stop,
            )
        except transport_errors() as error:
            raise refused(error, f"The stream {stream} cannot be read") from error
        found += answer["Shards"]
        request = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
    return [_shard(one) for one in found]


def readable(shards: Iterable[Shard], done: Mapping[str, str]) -> list[Shard]:
    """Those that are not at their end, and whose parents are, or are not kept any more."""
    listed = {shard.name: shard for shard in shards}
    return [
        shard
        for shard in listed.values()
        if done.get(shard.name) != SHARD_END
        and all(done.get(parent) == SHARD_END for parent in shard.parents if parent in listed)
    ]


class ShardReader:
    """Reads a shard from a place on.

    done    the sequence number behind which it begins; None: at the beginning
    since   without `done`: at what came since then, seconds since 1970

    `behind` is how old what was last read is, in seconds; 0 at the shard's tip.
    """

    def __init__(
        self, client: Any, stream: str, name: str, done: str | None = None, since: float | None = None
    ) -> None:
        self._client, self._stream, self.name = client, stream, name
        self._done, self._since = done, since
        self._iterator = ""
        self.due = self.behind = 0.0

    def read(self, *, is_closed: bool) -> tuple[list[Event], bool]:
        """What one call reads, and whether the shard is at its end. Raises StreamError.

        is_closed   the shard was closed before this call: who is then at its tip is at its end
        """
        self.due = time.monotonic() + SECONDS_BETWEEN_READS
        try:
            self._iterator = self._iterator or self._opened()
            answer = self._client.get_records(ShardIterator=self._iterator, Limit=_MOST_RECORDS)
        except transport_errors() as error:
            return self._failed(error)
        records = answer["Records"]
        self._iterator = answer.get("NextShardIterator") or ""
        if records:
            self._done = records[-1]["SequenceNumber"]
        late = answer.get("MillisBehindLatest")
        self.behind = (late or 0) / 1000
        at_tip = is_closed and not records and late == 0
        return [self._event(record) for record in records], not self._iterator or at_tip

    def _failed(self, error: Exception) -> tuple[list[Event], bool]:
        # An iterator is good for five minutes.
        expired = code_of(error) == "ExpiredIteratorException"
        if not expired and not passes(error):
            raise refused(error, f"The shard {self.name} of {self._stream} cannot be read") from error
        self._iterator = "" if expired else self._iterator
        self.due = time.monotonic() + _REFUSED_SECONDS
        return [], False

    def _opened(self) -> str:
        place: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if self._done is not None:
            place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self._done}
        elif self._since is not None:
            place = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._since}
        answer = self._client.get_shard_iterator(StreamName=self._stream, ShardId=self.name, **place)
        iterator = answer["ShardIterator"]
        if not iterator:
            raise StreamError(f"The shard {self.name} of {self._stream} gives no iterator.")
        return str(iterator)

    def _event(self, record: Mapping[str, Any]) -> Event:
        return Event(
            value=record["Data"],
            position=Position(self._stream, self.name, record["SequenceNumber"]),
            key=record["PartitionKey"].encode(),
            timestamp=round(1000 * record["ApproximateArrivalTimestamp"].timestamp()),
        )


def _shard(listed: Mapping[str, Any]) -> Shard:
    parents = (listed.get("ParentShardId"), listed.get("AdjacentParentShardId"))
    closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
    return Shard(listed["ShardId"], tuple(parent for parent in parents if parent), closed)
