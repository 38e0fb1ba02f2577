"""Exactly once: predictions, dead letters and offsets are committed together, or not at all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer

from skdeploy.errors import StreamError
from skdeploy.stream.kafka.assignment import Partition
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.kafka.sender import Sender, TakeAgain
from skdeploy.stream.kafka.worker import Patient
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

# Seconds of one attempt; what takes longer is gone on with. Who has begun nothing can end between two.
_ATTEMPT = 10.0
_OPENING = 1.0
_PAUSES = (0.1, 0.5, 1.0, 2.0)


class ExactlyOnce:
    """Transactions that begin with the first message after a commit."""

    acknowledges = False

    def __init__(self, producer: Producer, reader: Reader, sender: Sender, stop: Stop) -> None:
        self._producer = producer
        self._reader = reader
        self._sender = sender
        self._stop = stop
        self._is_open = False
        self._patient = Patient(producer, stop)
        sender.is_broken = self._is_broken

    def open(self) -> None:
        """End what an earlier process of our name left open, and fence it if it is still there.

        Returns without that if told to stop: nothing is begun then.
        """
        self._call(self._producer.init_transactions, _OPENING, until=self._stop.is_set)

    def begin(self) -> None:
        """A transaction, if there is none."""
        if not self._is_open:
            self._call(self._producer.begin_transaction)
            self._is_open = True

    def commit(self) -> bool:
        """What was produced, and the offsets that it came from."""
        self._reader.wait(self._sender.is_settled)
        if not self._is_open:  # a rebalance meanwhile has aborted it
            return True
        self._sender.check()
        assignment = self._reader.assignment
        offsets = assignment.offsets()
        if offsets:
            group = self._reader.group()
            self._call(self._producer.send_offsets_to_transaction, offsets, group, _ATTEMPT)
        self._call(self._producer.commit_transaction, _ATTEMPT)
        self._is_open = False
        assignment.commit(offsets)
        return True

    def abort(self) -> None:
        """Nobody who reads what is committed sees what was produced."""
        if self._is_open:
            self._call(self._producer.abort_transaction, _ATTEMPT)
            self._is_open = False
        self._sender.forget()

    def leaving(self, partitions: set[Partition], *, lost: bool) -> None:
        """What is in hand of those that go and of those that stay is one transaction: it is given up."""
        if self._is_open:
            _log.info("The transaction is aborted, since partitions %s", "were lost" if lost else "go")
        self.abort()
        self._reader.go_back(but=partitions)

    def _is_broken(self) -> bool:
        """Whether the transaction can only be aborted.

        Its messages then wait in librdkafka's queue until their time is over, and nothing says why.
        """
        if not self._is_open:
            return False
        try:
            # It refuses to begin a second one, and so says how the first one stands.
            self._producer.begin_transaction()
        except KafkaException as error:
            return bool(error.args[0].txn_requires_abort() or error.args[0].fatal())
        return False

    def _call(
        self, what: Callable[..., Any], *arguments: Any, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Call it until it succeeds. Raises TakeAgain, or StreamError where the process must end."""
        attempt = 0
        while not until():
            try:
                self._patient.call(partial(what, *arguments))
                return
            except KafkaException as error:
                reason = error.args[0]
                if reason.txn_requires_abort():
                    raise TakeAgain(f"The transaction is aborted: {reason.str()}") from None
                if reason.fatal() or not reason.retriable():
                    raise StreamError(f"The transaction cannot go on: {reason.str()}") from None
                _log.info("The transaction's next step is tried again: %s", reason.str())
            time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1
