"""An interval that many processes write, each a part of it, and one puts in its place.

A process of a cluster may die after it has written and before anybody knows, or be thought dead and go
on: its part is then written again, by another attempt. What an attempt wrote therefore counts only if
its receipt is among those that `finish` is given: one per part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from skdeploy.batch.chunks import Counts, ScoredChunk, Task


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who writes: the part's number in the order of keys, and a name that no other attempt has."""

    part: int
    name: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an attempt wrote.

    left    what the output needs to find it again; plain JSON
    drift   how many records were in each bin of the model's sketch, `skdeploy.drift.Tally.plain`
    """

    attempt: Attempt
    counts: Counts
    left: Mapping[str, Any] = field(default_factory=dict)
    drift: Sequence[float] = ()

    def to_text(self) -> str:
        """As it goes from a process to the one that finishes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Receipt:
        """What `to_text` wrote."""
        plain = json.loads(text)
        return cls(Attempt(**plain["attempt"]), Counts(**plain["counts"]), plain["left"], plain["drift"])


class PartWriting(Protocol):
    """A part being written by one attempt."""

    def write(self, scored: ScoredChunk) -> None:
        """Take a chunk."""

    def close(self) -> Receipt:
        """Make what was written last, and say what it is."""


class Stage(Protocol):
    """Where attempts write. It is pickled, and goes to other machines."""

    def writing(self, attempt: Attempt) -> AbstractContextManager[PartWriting]:
        """Begin to write a part; leaving it without `close` undoes it. Raises OutputError."""


class Spreading(Protocol):
    """An interval being written by many, which no other run writes."""

    stage: Stage

    def finish(self, receipts: Sequence[Receipt]) -> None:
        """Put what these attempts wrote in the place of what was there, and into the ledger, at once."""


@runtime_checkable
class SpreadOutput(Protocol):
    """An `Output` that processes of several machines can write to."""

    def spreading(self, task: Task) -> AbstractContextManager[Spreading]:
        """Begin to write an interval; leaving it without `finish` undoes it.

        Raises IntervalHeld if another run is at it.
        """


def total(receipts: Sequence[Receipt]) -> Counts:
    """The records of all parts."""
    counts = [receipt.counts for receipt in receipts]
    return Counts(
        sum(count.read for count in counts),
        sum(count.predicted for count in counts),
        sum(count.rejected for count in counts),
    )
