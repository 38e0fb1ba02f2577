"""Produces; waits where the queue is full; knows what is acknowledged, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from skdeploy.errors import StreamError
from skdeploy.stream.events import TOO_LARGE, DeadLetter, Prediction
from skdeploy.stream.kafka.messages import Outgoing, dead_letter_message, prediction_message, size_of
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.kafka.sizes import Sizes
from skdeploy.stream.kafka.timestamps import Timestamps

# What an aborted transaction makes of messages that were not sent yet.
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


class TakeAgain(Exception):
    """What was produced since the last commit is not to be committed: its events are read again."""


class GivenUp(Exception):
    """The events in hand were put back while they were produced: others may have them now."""


class Sender:
    """The producer's side.

    output         the topic of predictions
    dead_letters   the topic of dead letters
    limit          the most bytes of a message
    is_broken      whether nothing is sent any more, for a reason that no message has failed for yet
    """

    def __init__(
        self, producer: Producer, reader: Reader, *, output: str, dead_letters: str, limit: int
    ) -> None:
        self._producer = producer
        self._reader = reader
        self._output = output
        self._dead_letters = dead_letters
        self._produced = 0
        self._failure: tuple[KafkaError, str] | None = None
        self._timestamps = Timestamps()
        self._sizes = Sizes(limit, cut=dead_letters)
        self.is_broken: Callable[[], bool] = lambda: False

    @property
    def produced(self) -> int:
        """How many messages were handed to the producer, ever."""
        return self._produced

    @property
    def acknowledged(self) -> int:
        """How many of them are no longer waited for."""
        return self._produced - len(self._producer)

    @property
    def lessons(self) -> int:
        """Grows when what a topic refused will be sent otherwise: nothing need pass before."""
        return self._sizes.lessons

    def send(self, predictions: Iterable[Prediction]) -> list[DeadLetter]:
        """Hand predictions to the producer; those that no message can hold, as dead letters.

        Raises GivenUp, TakeAgain or StreamError.
        """
        refused = []
        for prediction in predictions:
            try:
                self._produce(self._output, prediction_message(prediction))
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise _translated(error, self._output) from None
                detail = f"The prediction has {len(prediction.value)} bytes, more than a message may have."
                refused.append(DeadLetter(prediction.event, TOO_LARGE, detail))
        return refused

    def bury(self, letters: Iterable[DeadLetter], deployment: str, model: str) -> None:
        """Hand dead letters to the producer. Raises as `send` does."""
        limit = self._sizes.most(self._dead_letters)
        for letter in letters:
            try:
                self._produce(self._dead_letters, dead_letter_message(letter, deployment, model, limit))
            except KafkaException as error:
                raise _translated(error, self._dead_letters) from None

    def serve(self) -> None:
        """Learn what became of what was produced. Raises TakeAgain or StreamError if something failed."""
        self._producer.poll(0)
        self.check()

    def check(self) -> None:
        """Raises TakeAgain or StreamError if something failed since the last look."""
        if self._failure is not None:
            (error, topic), self._failure = self._failure, None
            if error.fatal():
                raise StreamError(f"The producer can do no more: {error.str()}")
            raise TakeAgain(_explained(error, topic))

    def is_flushed(self, seconds: float) -> bool:
        """Whether nothing is waited for; looks for up to `seconds`."""
        return bool(self._producer.flush(seconds) == 0)

    def is_settled(self, seconds: float) -> bool:
        """Whether nothing is waited for, or in vain; looks for up to `seconds`."""
        return self.is_flushed(seconds) or self.has_failed() or self.is_broken()

    def has_failed(self) -> bool:
        """Whether `check` would raise."""
        return self._failure is not None

    def forget(self) -> None:
        """What failed is read again, and sent as its topic takes it."""
        self._failure = None
        self._timestamps.learn()
        self._sizes.learn()

    def _produce(self, topic: str, message: Outgoing) -> None:
        if self._timestamps.any:
            message = self._timestamps.apply(message)
        if self._sizes.is_watched(topic):
            self._produce_in_small_batches(topic, message)
        else:
            self._hand_over(topic, message)

    def _produce_in_small_batches(self, topic: str, message: Outgoing) -> None:
        if size_of(message) > self._sizes.most(topic):
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        if not self._sizes.has_room(topic, message):
            self._drain()
        self._hand_over(topic, message)
        if self._sizes.add(topic, message):
            self._drain()

    def _drain(self) -> None:
        rewinds = self._reader.rewinds
        self._reader.wait(self.is_settled)
        self.check()
        if self.is_broken():
            raise TakeAgain("The transaction can only be aborted")
        self._sizes.drained()
        if self._reader.rewinds != rewinds:
            raise GivenUp

    def _hand_over(self, topic: str, message: Outgoing) -> None:
        value, key, headers, timestamp = message
        while True:
            try:
                self._producer.produce(
                    topic, value, key, headers=headers, timestamp=timestamp, on_delivery=self._on_failure
                )
            except BufferError:
                self._wait_for_room()
            else:
                self._produced += 1
                return

    def _wait_for_room(self) -> None:
        rewinds, waiting = self._reader.rewinds, len(self._producer)

        def has_room(look: float) -> bool:
            self._producer.poll(look)
            return len(self._producer) < waiting

        self._reader.wait(has_room)
        self.check()
        if self._reader.rewinds != rewinds:
            raise GivenUp

    def _on_failure(self, error: KafkaError | None, message: Any) -> None:
        """Of deliveries that succeeded the producer says nothing."""
        if error is None or error.code() in _PURGED:
            return
        if error.code() == KafkaError.INVALID_TIMESTAMP:
            self._timestamps.refused(message.timestamp()[1])
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._sizes.refused(message.topic())
        if self._failure is None:
            self._failure = error, message.topic()


def _translated(error: KafkaException, topic: str) -> Exception:
    reason = error.args[0]
    if reason.fatal():
        return StreamError(f"The producer can do no more: {reason.str()}")
    return TakeAgain(_explained(reason, topic))


def _explained(error: KafkaError, topic: str) -> str:
    if error.code() in _NO_TOPIC:
        return f"There is no topic {topic}: create it; what is for it is sent as soon as it is there"
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return f"The broker lets nobody of ours write to {topic}: allow WRITE on it"
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return (
            f"A message is larger than {topic} allows: raise its max.message.bytes, or lower "
            "message.max.bytes in SKDEPLOY_KAFKA_CONFIG"
        )
    if error.code() == KafkaError.INVALID_TIMESTAMP:
        return (
            f"{topic} refuses an event's time: give it the events' topic's message.timestamp.before.max.ms "
            "and message.timestamp.after.max.ms"
        )
    return f"What was sent to {topic} did not arrive: {error.str()}"
