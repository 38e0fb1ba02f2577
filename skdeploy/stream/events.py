"""What an event is, and what becomes of it, whichever broker it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Headers of ours begin so. A dead letter has them all; an event that was put back keeps its origin's.
OURS = "skdeploy-"
ORIGIN_HEADER = OURS + "origin"

# A prediction that no message can hold.
TOO_LARGE = "too-large"

Headers = Sequence[tuple[str, bytes | None]]


class Position(NamedTuple):
    """Where an event stands: Kafka's topic, partition, offset; Kinesis' stream, shard, sequence number."""

    stream: str
    shard: int | str
    number: int | str

    def __str__(self) -> str:
        return f"{self.stream}/{self.shard}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """What `str` made; None if it did not."""
        parts = text.split("/")
        return cls(*parts) if len(parts) == 3 and all(parts) else None


class Event(NamedTuple):
    """One event.

    value       its bytes; None of a tombstone
    position    where it stands
    key         its key, passed through
    headers     passed through
    timestamp   the event time, milliseconds since 1970 UTC; None if nobody says
    """

    value: bytes | None
    position: Position
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int | None = None

    @property
    def origin(self) -> Position:
        """Where it came from first, if it was put back; else where it stands."""
        for name, value in self.headers:
            if name == ORIGIN_HEADER and value is not None:
                return Position.parse(value.decode("utf-8", "replace")) or self.position
        return self.position


class Prediction(NamedTuple):
    """What is sent for an event that was scored: `value` is JSON."""

    event: Event
    value: bytes


# Reasons of dead letters; "too-large" is a prediction.
REASONS = ("malformed-body", "invalid-record", "unscorable-record", "no-id", "too-large")


class DeadLetter(NamedTuple):
    """Why an event has no prediction.

    reason   one of REASONS
    detail   a sentence
    cells    the bad cells: column, code (`skdeploy.errors.CODES`), what was expected, what came
    """

    event: Event
    reason: str
    detail: str
    cells: Sequence[tuple[str | None, str, str, str]] = ()

    @property
    def listed_cells(self) -> list[dict[str, str | None]]:
        """The bad cells as JSON has them."""
        return [dict(zip(("column", "code", "expected", "got"), cell, strict=True)) for cell in self.cells]
