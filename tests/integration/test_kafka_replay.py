"""Dead letters are put back on Apache Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from examples.servers.kafka import Broker
from tests import brokers
from tests.stream.replaying import LETTERS, letter, put, replay

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with brokers.running(tmp_path_factory.mktemp("kafka"), apache=True) as broker:
        yield broker


def test_letters_go_back_once(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """All, and in a second run none; what is left of one reason goes by the next."""
    brokers.make_topics(broker, "flights", LETTERS)
    put(broker, LETTERS, *(letter(n, "no-id" if n % 3 else "invalid-record") for n in range(600)))
    assert replay(broker, capsys, "--all", "--reason", "no-id")["put_back"] == 400
    assert replay(broker, capsys, "--all")["put_back"] == 200
    assert replay(broker, capsys, "--all")["letters"] == 0
    found = brokers.read(broker, "flights")
    assert sorted(event.header("skdeploy-origin") or "" for event in found) == sorted(
        f"flights/1/{n}" for n in range(600)
    )


def test_letters_of_aborted_transactions_are_none(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """They are neither counted nor put back, and what transactions leave at the end is passed over."""
    brokers.make_topics(broker, "trees", "aborted")
    settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": "t", **brokers.QUIET}
    producer = Producer(settings)
    producer.init_transactions(30)
    for keep in (False, True, False):
        producer.begin_transaction()
        for n in range(10):
            headers: dict[str, str | bytes | None] = {"skdeploy-reason": b"no-id"}
            headers["skdeploy-origin"] = b"trees/0/%d" % n
            producer.produce("aborted", b"kept" if keep else b"aborted", b"%d" % n, headers=headers)
        # Without it librdkafka would drop them here, and the broker never see them.
        producer.flush(30)
        producer.commit_transaction(30) if keep else producer.abort_transaction(30)
    assert replay(broker, capsys, "--dry-run", topic="aborted")["found"] == 10
    assert replay(broker, capsys, "--all", topic="aborted")["put_back"] == 10
    assert {event.value for event in brokers.read(broker, "trees")} == {b"kept"}
    assert replay(broker, capsys, "--all", topic="aborted")["letters"] == 0
