"""The consumer of Kinesis: every event is answered, whoever dies and whatever becomes of shards."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from examples.servers.aws import AWS
from skdeploy.stream.kinesis.checkpoints import SHARD_END
from skdeploy.stream.kinesis.shards import Shard, readable
from tests.live import free_port, page, wait_until
from tests.stream.aws import documents_in, record, running_aws
from tests.stream.kinesis_consuming import World
from tests.stream.kinesis_resharded import PARENT, resharded_before

pytestmark = pytest.mark.heavy
_TAKES_OVER = "checkpoints in"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Generator[AWS]:
    with running_aws(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture
def world(aws: AWS, regressor_file: Path, tmp_path: Path) -> World:
    return World.new(aws, regressor_file, tmp_path)


def test_every_event_is_answered_once(world: World) -> None:
    """Predictions and dead letters; SIGTERM ends with 0; who comes next goes on behind the checkpoints."""
    world.put([record(place) if place % 10 else b"poison" for place in range(600)])
    with world.consuming() as consumer:
        world.predicted(540)
        wait_until(lambda: len(world.checkpoints()) == 2, "checkpoints")
        assert consumer.stop() == 0, consumer.log()
    world.put([record(place) for place in range(600, 700)])
    with world.consuming() as consumer:
        world.predicted(640)
        assert consumer.stop() == 0, consumer.log()
    assert sorted(one["id"] for one in world.predictions()) == [
        place for place in range(700) if place >= 600 or place % 10
    ]
    letters = documents_in(world.aws, world.letters)
    assert [one["reason"] for one in letters] == ["malformed-body"] * 60


def test_metrics_and_readiness(world: World) -> None:
    """On SKDEPLOY_METRICS_LISTEN: counts, how late each shard is read, the lease and the model."""
    port = free_port()
    world.put([record(place) for place in range(9)] + [b"poison"])
    with world.consuming(SKDEPLOY_METRICS_LISTEN=str(port)) as consumer:
        world.predicted(9)
        # What is told last.
        last = "skdeploy_stream_latency_seconds_count 9.0"
        wait_until(lambda: last in page(port, "/metrics")[1], "9 predictions")
        metrics = page(port, "/metrics")[1]
        assert page(port, "/ready") == (200, "ready\n")
        assert consumer.stop() == 0, consumer.log()
    assert "skdeploy_stream_predictions_total 9.0" in metrics
    assert 'skdeploy_stream_dead_letters_total{reason="malformed-body"} 1.0' in metrics
    assert "skdeploy_stream_events_total 10.0" in metrics
    assert "skdeploy_stream_lease 1.0" in metrics
    assert metrics.count("skdeploy_stream_behind_seconds{shard=") == 2
    assert "skdeploy_drift_records 9.0" in metrics
    assert 'engine="' in metrics


def test_latest_begins_when_the_first_consumer_came(world: World) -> None:
    """Not before; and a death before the first checkpoint leaves nothing out."""
    world.put([record(place) for place in range(10)])
    time.sleep(1.1)
    with world.consuming("--from", "latest") as consumer:
        consumer.says(_TAKES_OVER)
        consumer.kill()
    world.put([record(place) for place in range(10, 20)])
    with world.consuming("--from", "latest"):
        world.predicted(10)
    assert {one["id"] for one in world.predictions()} == {*range(10, 20)}


def test_killed_at_random_moments(world: World) -> None:
    """After dedup by id the count is the input's, and what is there twice says the same."""
    count, chance = 0, random.Random(7)
    for _ in range(5):
        world.put([record(count + place) for place in range(400)])
        count += 400
        with world.consuming(SKDEPLOY_LEASE_SECONDS="0.5") as consumer:
            consumer.says(_TAKES_OVER)
            time.sleep(chance.uniform(0, 0.4))
            consumer.kill()
    with world.consuming(SKDEPLOY_LEASE_SECONDS="0.5") as consumer:
        consumer.says(_TAKES_OVER)
        world.predicted(count)
        assert consumer.stop() == 0, consumer.log()
    by_id: dict[str, set[str]] = {}
    for one in world.predictions():
        by_id.setdefault(one["prediction_id"], set()).add(repr(one))
    assert len(by_id) == count
    assert {len(payloads) for payloads in by_id.values()} == {1}


def test_a_second_consumer_waits_until_the_first_is_dead(world: World) -> None:
    """It reads nothing while the lease is renewed, and all that comes after a kill."""
    with world.consuming(SKDEPLOY_LEASE_SECONDS="4") as first:
        first.says(_TAKES_OVER)
        with world.consuming(SKDEPLOY_LEASE_SECONDS="4") as second:
            second.says("has a consumer: this one waits")
            time.sleep(8)
            assert _TAKES_OVER not in second.log()
            first.kill()
            world.put([record(place) for place in range(20)])
            world.predicted(20)
            assert _TAKES_OVER in second.log()
            assert second.stop() == 0, second.log()


def test_who_was_silent_writes_nothing_more(world: World) -> None:
    """A consumer that stood still until another took over ends with 1, and says why."""
    with world.consuming() as first:
        first.says(_TAKES_OVER)
        first.process.send_signal(signal.SIGSTOP)
        with world.consuming() as second:
            second.says(_TAKES_OVER)
            world.put([record(place) for place in range(20)])
            world.predicted(20)
            wait_until(lambda: len(world.checkpoints()) == 2, "checkpoints")
            # What came in two reads has two.
            time.sleep(2)
            before = world.checkpoints()
            first.process.send_signal(signal.SIGCONT)
            assert first.process.wait(20) == 1
            assert "Another consumer has taken over" in first.log()
            assert world.checkpoints() == before


def test_children_are_read_behind_their_parent(aws: AWS, regressor_file: Path, tmp_path: Path) -> None:
    """Every prediction of the parent's events is before those of its children's."""
    with resharded_before(aws) as endpoint:
        world = World.new(AWS(endpoint, aws.process), regressor_file, tmp_path, shards=3)
        world.put([record(place) for place in range(300)])
        with world.consuming() as consumer:
            world.predicted(300)
            wait_until(lambda: len(world.checkpoints()) == 3, "checkpoints")
            assert consumer.stop() == 0, consumer.log()
    world.aws = aws
    shards = [one["prediction_id"].split("/")[2] for one in world.predictions()]
    parents = shards.count(PARENT)
    assert 0 < parents < len(shards) == 300
    assert set(shards[:parents]) == {PARENT}
    assert world.checkpoints()[PARENT] == SHARD_END


def test_children_wait_for_all_their_parents() -> None:
    """A parent that is not kept any more holds nobody up."""
    left, right = Shard("left", ("gone",), True), Shard("right", (), True)
    merged = Shard("merged", ("left", "right"), False)
    shards = [merged, left, right]
    assert readable(shards, {}) == [left, right]
    assert readable(shards, {"left": SHARD_END, "right": "12"}) == [right]
    assert readable(shards, {"left": SHARD_END, "right": SHARD_END}) == [merged]
