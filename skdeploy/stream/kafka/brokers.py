"""Whether the brokers can be reached: said once when they cannot, and once when they can again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import KafkaError

from skdeploy.errors import StreamError

_log = logging.getLogger(__name__)

# Of librdkafka itself, which says every failed attempt to connect.
_librdkafka = logging.getLogger(__name__ + ".librdkafka")

# What an outage makes of every connection; that all are down is said apart.
_OF_CONNECTIONS = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)
# Seconds before the same error is said again.
_SAID_FOR = 60.0


class _Broker(msgspec.Struct):
    state: str = ""


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}


_DECODE = msgspec.json.Decoder(_Statistics).decode


class Quiet:
    """Takes librdkafka's log lines; they are seen with SKDEPLOY_LOG_LEVEL=debug."""

    def log(self, _level: int, message: str, *args: object) -> None:
        """A line of librdkafka's."""
        _librdkafka.debug(message, *args)


class Brokers:
    """What the clients know of their brokers. Their callbacks run in the thread that polls them."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        self._since = 0.0
        self._said: dict[str, float] = {}
        self._fatal: str | None = None

    @property
    def are_down(self) -> bool:
        """Whether a client reaches none of them."""
        return bool(self._down)

    def check(self) -> None:
        """Raises StreamError if a client can do no more."""
        if self._fatal is not None:
            raise StreamError(self._fatal)

    def callbacks(self, client: str) -> dict[str, Callable[[Any], None]]:
        """`error_cb` and `stats_cb` of a client of that name."""
        return {
            "error_cb": lambda error: self._on_error(client, error),
            "stats_cb": lambda text: self._on_statistics(client, text),
        }

    def say(self, text: str) -> None:
        """Log an error that may come again and again, once a minute."""
        now = time.monotonic()
        if now - self._said.get(text, -_SAID_FOR) >= _SAID_FOR:
            self._said[text] = now
            _log.error("%s", text)

    def _on_error(self, client: str, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = f"The {client} can do no more: {error.str()}"
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            if not self._down:
                self._since = time.monotonic()
                _log.error("No broker can be reached; trying again until one can")
            self._down.add(client)
        elif error.code() not in _OF_CONNECTIONS:
            self.say(f"The {client}: {error.str()}")

    def _on_statistics(self, client: str, text: str) -> None:
        if client not in self._down:
            return
        if any(broker.state == "UP" for broker in _DECODE(text).brokers.values()):
            self._down.discard(client)
            if not self._down:
                _log.warning("A broker is reached again after %.0f s", time.monotonic() - self._since)
