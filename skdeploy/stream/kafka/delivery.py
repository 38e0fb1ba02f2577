"""At least once: what is acknowledged is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaException, Producer

from skdeploy.errors import StreamError
from skdeploy.stream.kafka.assignment import Partition
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.kafka.sender import Sender
from skdeploy.stream.kafka.worker import Patient
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

# Seconds that partitions which go wait for what was produced of them.
_LEAVING = 5.0


class Delivery(Protocol):
    """How what was produced and where it came from are committed.

    acknowledges   whether a prediction that is acknowledged can be read, before a commit
    """

    acknowledges: bool

    def open(self) -> None:
        """Before the first poll. Raises StreamError."""

    def begin(self) -> None:
        """Before something is produced. Raises TakeAgain or StreamError."""

    def commit(self) -> bool:
        """Commit what is finished; whether it is. Raises TakeAgain or StreamError."""

    def abort(self) -> None:
        """Nothing since the last commit is to count. Raises StreamError."""

    def leaving(self, partitions: set[Partition], *, lost: bool) -> None:
        """Before partitions go. Raises StreamError."""


class AtLeastOnce:
    """Offsets are committed when all that was produced is acknowledged."""

    acknowledges = True

    def __init__(self, producer: Producer, reader: Reader, sender: Sender, stop: Stop) -> None:
        self._reader = reader
        self._sender = sender
        self._patient = Patient(producer, stop)

    def open(self) -> None:
        """Nothing."""

    def begin(self) -> None:
        """Nothing."""

    def commit(self) -> bool:
        """What cannot be committed now is committed the next time, or comes again."""
        self._reader.wait(self._sender.is_flushed)
        self._sender.check()
        return self._has_committed(partial(self._patient.call, self._reader.commit))

    def abort(self) -> None:
        """What is acknowledged stays: the same prediction comes again, with the same id."""

    def leaving(self, partitions: set[Partition], *, lost: bool) -> None:
        """Who has them next should begin behind what is done here."""
        if lost or not partitions & self._reader.assignment.finished.keys():
            return
        if self._sender.is_flushed(_LEAVING) and not self._sender.has_failed():
            # By this thread: a commit of another one has no end while a poll of this one calls back.
            self._has_committed(self._reader.commit)

    def _has_committed(self, commit: Callable[[], None]) -> bool:
        try:
            commit()
        except KafkaException as error:
            reason = error.args[0]
            if reason.fatal():
                raise StreamError(f"The consumer can do no more: {reason.str()}") from None
            _log.info("Offsets are committed later: %s", reason.str())
            return False
        return True
