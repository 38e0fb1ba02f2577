"""What librdkafka is told: what our promises need, and what SKDEPLOY_KAFKA_CONFIG adds to it."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skdeploy.config import KafkaSettings
from skdeploy.errors import SettingsError

Properties = dict[str, Any]

# Messages over this are refused by the producer (librdkafka's own default).
_MESSAGE_BYTES = 1_000_000
# A transaction that its process left open blocks the readers of its topics for so long.
_TRANSACTION_MS = 10_000
# Where a promise hangs on a property: the values that keep it, and what else to do.
_PROMISES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "enable.auto.commit": (("false",), "offsets are committed when predictions are acknowledged"),
    "enable.auto.offset.store": ((), "offsets are committed when predictions are acknowledged"),
    "auto.commit.interval.ms": ((), "SKDEPLOY_COMMIT_SECONDS says when offsets are committed"),
    "enable.idempotence": (("true",), "without it a prediction could be written twice, or out of order"),
    "acks": (("all", "-1"), "a prediction counts when all replicas have it"),
    "request.required.acks": (("all", "-1"), "a prediction counts when all replicas have it"),
    "isolation.level": (("read_committed",), "events of aborted transactions are none"),
    "partition.assignment.strategy": (("cooperative-sticky",), "a rebalance stops only what moves"),
    "group.protocol": (("classic",), "a rebalance stops only what moves"),
    "delivery.report.only.error": ((), "the consumer looks at every failed delivery"),
    "group.id": ((), "set SKDEPLOY_GROUP, or say --group"),
    "transactional.id": ((), "set SKDEPLOY_INSTANCE"),
    "bootstrap.servers": ((), "set SKDEPLOY_KAFKA_BOOTSTRAP, or say --bootstrap"),
    "metadata.broker.list": ((), "set SKDEPLOY_KAFKA_BOOTSTRAP, or say --bootstrap"),
}


def read_properties(path: str) -> dict[str, str]:
    """The properties of the file SKDEPLOY_KAFKA_CONFIG, a line `name=value` each; `#` begins a comment.

    Raises SettingsError; a value, which may be a password, is in no message.
    """
    if not path:
        return {}
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f"SKDEPLOY_KAFKA_CONFIG={path!r} cannot be read: {reason}.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not re.fullmatch(r"[A-Za-z0-9._]+", name):
            raise SettingsError(f"SKDEPLOY_KAFKA_CONFIG={path!r}: line {number} is not name=value.")
        found[name] = value.strip()
    _require_promises(path, found)
    return found


def _require_promises(path: str, found: Mapping[str, str]) -> None:
    for name, (kept_by, why) in _PROMISES.items():
        if name in found and found[name].lower() not in kept_by:
            raise SettingsError(f"SKDEPLOY_KAFKA_CONFIG={path!r}: remove {name}: {why}.")


def instance(settings: KafkaSettings) -> str:
    """The name that this consumer has in its group, and nobody else."""
    return settings.instance or socket.gethostname()


def consumer_properties(settings: KafkaSettings, given: Mapping[str, str]) -> Properties:
    """Those of the consumer."""
    ours: Properties = {
        **_both(settings),
        "group.id": settings.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1500,
        # The group keeps one queue, whatever the number of partitions.
        "queued.max.messages.kbytes": _kilobytes(settings, 2_097_151),
        "fetch.wait.max.ms": 100,
        # A topic or partition that is made later is seen so soon.
        "topic.metadata.refresh.interval.ms": 10_000,
    }
    return {**ours, **given}


def producer_properties(settings: KafkaSettings, given: Mapping[str, str]) -> Properties:
    """Those of the producer; with a transactional.id if it is to be exactly once."""
    ours: Properties = {
        **_both(settings),
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "queue.buffering.max.kbytes": _kilobytes(settings, 2_147_483_647),
        # The bytes alone are the limit.
        "queue.buffering.max.messages": 0,
        "delivery.report.only.error": True,
    }
    if settings.exactly_once:
        ours |= {
            "transactional.id": f"{settings.group}-{instance(settings)}",
            "transaction.timeout.ms": _TRANSACTION_MS,
        }
    else:
        # An outage is waited for, however long it is.
        ours["message.timeout.ms"] = 0
    return {**ours, **given}


def largest_message(given: Mapping[str, str]) -> int:
    """The bytes that a message may have."""
    value = given.get("message.max.bytes", "")
    return int(value) if value.isdigit() else _MESSAGE_BYTES


def _both(settings: KafkaSettings) -> Properties:
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": f"skdeploy-{settings.group}",
        "socket.keepalive.enable": True,
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 2000,
        "statistics.interval.ms": 1000,
    }


def _kilobytes(settings: KafkaSettings, most: int) -> int:
    return min(most, max(1, settings.max_memory // 1024))
