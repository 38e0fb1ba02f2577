"""Records into a Kinesis stream: within the limits of a call, and until they are taken or time is up."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from skdeploy.stream.events import Event
from skdeploy.stream.kinesis.client import passes, refused, transport_errors

_log = logging.getLogger(__name__)

# Amazon's limits are 500 records, and 5 MiB and 1 MiB with the keys.
MOST_RECORDS = 500
MOST_BYTES = 5 * 10**6
MOST_RECORD_BYTES = 10**6
_MOST_KEY_CHARACTERS = 256
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 3.0


class Entry(NamedTuple):
    """A record to be put: at most `MOST_RECORD_BYTES` with its key."""

    key: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that count for the limits."""
        return len(self.data) + len(self.key.encode())


def partition_key(event: Event) -> str:
    """The event's key; of an event without one, where it came from, so that shards share the load."""
    key = event.key.decode("utf-8", "backslashreplace") if event.key else str(event.origin)
    return key if len(key) <= _MOST_KEY_CHARACTERS else hashlib.sha256(key.encode()).hexdigest()


def put_all(client: Any, stream: str, entries: Sequence[Entry], until: float) -> list[int]:
    """The places of the entries that `stream` did not take until then.

    until   on the clock of `time.monotonic`; everything is tried once whatever it says, but for
            calls behind the first that would begin later

    What was refused, and no other, is tried again after a time that doubles. Kinesis keeps no order
    among the records of a call, nor does this. Raises StreamError if no trying again would help.
    """
    left = [*range(len(entries))]
    for delay in _delays():
        left = _round(client, stream, entries, left, until)
        if not left or time.monotonic() + delay > until:
            return left
        time.sleep(delay)
    return left


def batches(entries: Sequence[Entry], places: Sequence[int]) -> Iterator[list[int]]:
    """The places, cut into what one call takes."""
    batch: list[int] = []
    size = 0
    for place in places:
        more = entries[place].size
        if batch and (len(batch) == MOST_RECORDS or size + more > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += more
    if batch:
        yield batch


def _round(
    client: Any, stream: str, entries: Sequence[Entry], places: Sequence[int], until: float
) -> list[int]:
    """Every place tried once; those that were not taken."""
    left: list[int] = []
    for number, batch in enumerate(batches(entries, places)):
        late = number > 0 and time.monotonic() >= until
        left += batch if late else _put(client, stream, entries, batch)
    return left


def _put(client: Any, stream: str, entries: Sequence[Entry], batch: Sequence[int]) -> list[int]:
    records = [{"PartitionKey": entries[place].key, "Data": entries[place].data} for place in batch]
    try:
        answer = client.put_records(StreamName=stream, Records=records)
    except transport_errors() as error:
        if not passes(error):
            raise refused(error, f"The stream {stream} takes nothing") from error
        _log.warning("The stream %s did not take %d records: %s", stream, len(batch), error)
        return [*batch]
    if not answer["FailedRecordCount"]:
        return []
    outcomes = zip(batch, answer["Records"], strict=True)
    left = [(place, outcome["ErrorCode"]) for place, outcome in outcomes if outcome.get("ErrorCode")]
    _log.info("The stream %s refused %d of %d records: %s", stream, len(left), len(batch), left[0][1])
    return [place for place, _ in left]


def _delays() -> Iterator[float]:
    """Seconds, by chance between 0 and a most that doubles: several writers must not come back together."""
    most = _FIRST_DELAY
    while True:
        yield random.uniform(0, most)  # noqa: S311 (nothing is secret about it)
        most = min(2 * most, _LONGEST_DELAY)
