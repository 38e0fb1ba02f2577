"""Where dead letters go: back to topics of events, or into a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Protocol

from confluent_kafka import KafkaException

from skdeploy.errors import SettingsError, StreamError
from skdeploy.stream.kafka.letters import Letter, line_of

_FLUSH_SECONDS = 60


class Destination(Protocol):
    """Takes letters.

    word   what became of them, in the summary
    """

    word: str

    def takes(self, letter: Letter) -> bool:
        """Whether there is a place for it."""

    def add(self, letter: Letter) -> None:
        """Take it sooner or later. Raises StreamError."""

    def settle(self) -> None:
        """Wait until all that was added is where it should be. Raises StreamError."""


class Topics:
    """Back to the topic that each came from, or all to the topic `to`; `settle` waits for acknowledgement."""

    word = "put_back"

    def __init__(self, producer: Any, to: str = "") -> None:
        self._producer = producer
        self._to = to
        self._failure = ""

    def takes(self, letter: Letter) -> bool:
        """Whether it says where it came from, if it must."""
        return bool(self._to or letter.origin)

    def add(self, letter: Letter) -> None:
        """Produce it as it first came, but for its partition, which its key decides."""
        topic = self._to or (letter.origin.stream if letter.origin else "")
        while True:
            try:
                self._producer.produce(
                    topic,
                    letter.value,
                    letter.key,
                    on_delivery=self._delivered,
                    timestamp=letter.timestamp,
                    headers=letter.put_back_headers(),
                )
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as error:
                raise StreamError(f"The topic {topic}: {error.args[0].str()}.") from None
            self._producer.poll(0)
            return

    def settle(self) -> None:
        """As `Destination` says."""
        left = self._producer.flush(_FLUSH_SECONDS)
        if self._failure:
            raise StreamError(self._failure)
        if left:
            raise StreamError(f"{left} letters were not acknowledged within {_FLUSH_SECONDS} seconds.")

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failure = self._failure or f"The topic {message.topic()}: {error.str()}."


class Lines:
    """Into a new file, a line each; `settle` waits until they are on the disk. Raises SettingsError."""

    word = "exported"

    def __init__(self, path: Path) -> None:
        try:
            # Never over a file that somebody may just be correcting.
            self._file: IO[bytes] = path.open("xb")
        except OSError as error:
            raise SettingsError(f"--export {path}: {error.strerror}: name a new file.") from None
        self._path = path

    def takes(self, letter: Letter) -> bool:
        """Any."""
        del letter
        return True

    def add(self, letter: Letter) -> None:
        """Write its line."""
        try:
            self._file.write(line_of(letter))
        except OSError as error:
            raise StreamError(f"{self._path}: {error.strerror}.") from None

    def settle(self) -> None:
        """As `Destination` says."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StreamError(f"{self._path}: {error.strerror}.") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
