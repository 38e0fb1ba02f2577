"""Dead letters go back to where they came from, once each.

A group of its own keeps how far the replay is. One that takes letters of some reasons alone keeps that in
a group per reason, so that the others are still there for the next.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from skdeploy.errors import SettingsError, StreamError
from skdeploy.stream.kafka.letters import Letter, letter_from, letter_of
from skdeploy.stream.kafka.putting_back import Destination
from skdeploy.stream.kafka.rereading import Offsets, Progress, Rereading, partitions_of

# What a processor gives; each may be replayed apart.
REASONS = ("malformed-body", "invalid-record", "unscorable-record", "no-id")
# Letters between two commits: so many come again, with the same ids, if the process dies.
_BATCH = 500


@dataclass
class Tally:
    """What became of letters: each that was read is in one of the first four.

    taken            put back, or exported
    filtered         of another reason than asked for; still there for the next replay
    cut              only the start of their value is there: they are never put back
    without_origin   nobody says where they came from, and no topic was named
    done_before      seen, but taken by an earlier replay
    by_reason        of the first four together
    """

    taken: int = 0
    filtered: int = 0
    cut: int = 0
    without_origin: int = 0
    done_before: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)

    @property
    def letters(self) -> int:
        """How many were read."""
        return self.taken + self.filtered + self.cut + self.without_origin

    def count(self, kind: str, reason: str) -> None:
        """One more of a kind: a field's name."""
        setattr(self, kind, getattr(self, kind) + 1)
        if kind != "done_before":
            self.by_reason[reason] += 1

    def add(self, other: Tally) -> None:
        """What is in `other`, too."""
        for name in ("taken", "filtered", "cut", "without_origin", "done_before"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.by_reason += other.by_reason


def sort(letter: Letter, reasons: Sequence[str], destination: Destination | None) -> str:
    """What becomes of a letter, as a field of `Tally`."""
    if reasons and letter.reason not in reasons:
        return "filtered"
    if destination is not None and not destination.takes(letter):
        return "without_origin"
    # In a file a cut letter says what is missing; in a topic it would be another event.
    if letter.cut and (destination is None or destination.word == "put_back"):
        return "cut"
    return "taken"


@dataclass(frozen=True)
class Replay:
    """A topic of dead letters, and what of it is replayed.

    opened    a consumer of a group, with `enable.partition.eof`
    group     whose offsets say how far the replay is
    reasons   the reasons asked for; none: all
    """

    opened: Callable[[str], Consumer]
    topic: str
    group: str
    reasons: Sequence[str]
    stopped: Callable[[], bool] = lambda: False

    def run(self, destination: Destination | None, tally: Tally) -> None:
        """Take what is there, to the end as it was at the start; None takes nothing and commits nothing.

        `tally` has what is done, also when an exception ends it. Raises StreamError.
        """
        consumer = self.opened(self.group)
        try:
            progress = Progress(self.opened, self.topic, partitions_of(consumer, self.topic))
            try:
                self._run(consumer, progress, destination, tally)
            finally:
                progress.close()
        finally:
            consumer.close()

    def _run(
        self, consumer: Consumer, progress: Progress, destination: Destination | None, tally: Tally
    ) -> None:
        starts = self._starts(progress)
        # What is put back may fail again and be a letter once more: the end is fixed before.
        survey = Rereading(consumer, self.topic, starts)
        counted = Tally()
        for message in survey:
            self._count(message, progress, None, counted)
        if destination is None:
            tally.add(counted)
            return
        reading = Rereading(consumer, self.topic, starts, survey.reached)
        done = Tally()
        for number, message in enumerate(reading, 1):
            self._count(message, progress, destination, done)
            if number % _BATCH == 0 or self.stopped():
                done = self._settle(progress, destination, reading.reached, done, tally)
            if self.stopped():
                return
        self._settle(progress, destination, reading.reached, done, tally)

    def _starts(self, progress: Progress) -> Offsets:
        every = progress.of(self.group)
        if not self.reasons:
            return dict(every)
        each = [progress.of(self._group_of(reason)) for reason in self.reasons]
        return {number: max(start, min(one[number] for one in each)) for number, start in every.items()}

    def _group_of(self, reason: str) -> str:
        return f"{self.group}.{reason}"

    def _count(self, message: Any, progress: Progress, destination: Destination | None, tally: Tally) -> None:
        letter = letter_of(message)
        if letter.reason in REASONS and self._is_done(progress, message, letter.reason):
            tally.count("done_before", letter.reason)
            return
        kind = sort(letter, self.reasons, destination)
        if kind == "taken" and destination is not None:
            destination.add(letter)
        tally.count(kind, letter.reason)

    def _is_done(self, progress: Progress, message: Any, reason: str) -> bool:
        return bool(message.offset() < progress.of(self._group_of(reason))[message.partition()])

    def _settle(
        self, progress: Progress, destination: Destination, reached: Offsets, done: Tally, tally: Tally
    ) -> Tally:
        """Commit what was taken, and begin a new count."""
        destination.settle()
        for group in [self._group_of(reason) for reason in self.reasons] or [self.group]:
            progress.commit(group, reached)
        tally.add(done)
        return Tally()


def put_back_lines(path: Path, reasons: Sequence[str], destination: Destination | None, tally: Tally) -> None:
    """Put back the lines of an exported file; which of them are, is kept beside it, in `<file>.done`.

    Nothing is sent unless every line can be read. Raises SettingsError naming the line, and StreamError.
    """
    for _ in _lines(path):
        pass
    record = path.with_name(path.name + ".done")
    done_before = set(record.read_text().split()) if record.exists() else set()
    for batch in _batches(_lines(path)):
        counted, sent = Tally(), []
        for digest, letter in batch:
            if digest in done_before:
                counted.count("done_before", letter.reason)
                continue
            kind = sort(letter, reasons, destination)
            if kind == "taken" and destination is not None:
                destination.add(letter)
                sent.append(digest)
            counted.count(kind, letter.reason)
        if destination is not None and sent:
            destination.settle()
            _note(record, sent)
        tally.add(counted)


def _lines(path: Path) -> Iterator[tuple[str, Letter]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield hashlib.sha256(line.strip()).hexdigest(), _parsed(path, number, line)
    except OSError as error:
        raise SettingsError(f"--corrected {path}: {error.strerror}.") from None


def _parsed(path: Path, number: int, line: bytes) -> Letter:
    try:
        return letter_from(line)
    except ValueError as error:
        raise SettingsError(f"{path}, line {number}: {error}. Nothing was put back.") from None


def _batches(lines: Iterable[tuple[str, Letter]]) -> Iterator[list[tuple[str, Letter]]]:
    batch: list[tuple[str, Letter]] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _note(record: Path, digests: Sequence[str]) -> None:
    try:
        with record.open("a") as file:
            file.writelines(f"{digest}\n" for digest in digests)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StreamError(f"{record}: {error.strerror}: what was put back may be put back again.") from None
