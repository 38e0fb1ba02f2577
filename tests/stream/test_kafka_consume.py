"""A consumer of the embedded broker: every event in is a prediction or a dead letter out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from examples.servers.kafka import Broker
from skdeploy.stream.kafka.command import main
from tests.conftest import small_frame, small_pipeline
from tests.following import saved
from tests.live import free_port, page, wait_until
from tests.stream.topics import (
    Sent,
    command,
    consuming,
    create,
    documents,
    environment,
    ids,
    received,
    record,
    said,
    send,
)

GOOD = ["--topics", "a", "--output", "o", "--group", "g"]
SLOW_AGE = 77
SLOW_SECONDS = 4.0


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    """A consumer sets that of all logging; it is put back."""
    caplog.set_level("INFO")


def taking_its_time(frame: object) -> object:
    """Sleeps where a record is SLOW_AGE old."""
    if (frame["age"] == SLOW_AGE).any():  # type: ignore[index]
        time.sleep(SLOW_SECONDS)
    return frame


def test_every_event_is_a_prediction_or_a_dead_letter(broker: Broker, regressor_file: Path) -> None:
    """Counted, each with an id of its own, which says where the event came from."""
    create(broker, "a", "a.out", "a.out.dead-letters")
    bad = [b"{no json", b"[]", record(3, kind="fir"), None]
    events = [Sent(bad[n // 10 % 4] if n % 10 == 0 else record(n % 9, id=n)) for n in range(1000)]
    send(broker, "a", events)
    with consuming(
        broker,
        regressor_file,
        SKDEPLOY_TOPICS="a",
        SKDEPLOY_OUTPUT_TOPIC="a.out",
        SKDEPLOY_GROUP="a",
        SKDEPLOY_DEPLOYMENT="d",
    ):
        found = received(broker, ["a.out", "a.out.dead-letters"], 1000)
    assert [len(messages) for messages in found.values()] == [900, 100]
    assert len(ids(found["a.out"])) == 900
    assert all(one.startswith("d/a/") for one in ids(found["a.out"]))
    assert sorted(one["id"] for one in documents(found["a.out"])) == [n for n in range(1000) if n % 10]


def test_key_headers_and_timestamp_pass_through(broker: Broker, regressor_file: Path) -> None:
    """The type of the content is the prediction's own; a dead letter has the event's bytes, and why."""
    create(broker, "b", "b.out", "graves")
    headers = [("trace", b"\x00\xff"), ("Content-Type", b"text/x"), ("empty", None)]
    value = record(3, kind="fir")
    send(broker, "b", [Sent(one, b"k\x00", headers, 1_383_640_000_123) for one in (record(3), value)])
    settings = {
        "SKDEPLOY_TOPICS": "b",
        "SKDEPLOY_OUTPUT_TOPIC": "b.out",
        "SKDEPLOY_GROUP": "b",
        "SKDEPLOY_DEAD_LETTER_TOPIC": "graves",
    }
    with consuming(broker, regressor_file, **settings):
        found = received(broker, ["b.out", "graves"], 2)
    [prediction], [letter] = found.values()
    for message in (prediction, letter):
        assert message.key() == b"k\x00"
        assert message.timestamp() == (TIMESTAMP_CREATE_TIME, 1_383_640_000_123)
    assert prediction.headers() == [headers[0], headers[2], ("content-type", b"application/json")]
    assert letter.value() == value
    said_of: dict[str, Any] = dict(letter.headers() or [])
    assert [*said_of][:3] == ["trace", "Content-Type", "empty"]
    assert said_of["skdeploy-origin"] in (b"b/0/1", b"b/1/1", b"b/2/1")
    assert said_of["skdeploy-reason"] == b"invalid-record"
    assert json.loads(said_of["skdeploy-cells"])[0]["column"] == "kind"
    assert said_of["skdeploy-deployment"] == b"tree"
    assert said_of["skdeploy-model"].startswith(b"tree ")


def test_cloud_events_are_read_in_both_modes(broker: Broker, regressor_file: Path) -> None:
    """The data of a structured one, as JSON or base64; the value of a binary one."""
    create(broker, "c", "c.out")
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    structured = [("content-type", b"application/cloudevents+json; charset=utf-8")]
    inside = json.dumps({**envelope, "data": json.loads(record(3))}).encode()
    encoded = json.dumps({**envelope, "data_base64": base64.b64encode(record(3)).decode()}).encode()
    binary = [("ce_specversion", b"1.0"), ("content-type", b"application/json")]
    send(
        broker,
        "c",
        [
            Sent(inside, headers=structured),
            Sent(encoded, headers=structured),
            Sent(record(3), headers=binary),
        ],
    )
    with consuming(
        broker, regressor_file, SKDEPLOY_TOPICS="c", SKDEPLOY_OUTPUT_TOPIC="c.out", SKDEPLOY_GROUP="c"
    ):
        found = documents(received(broker, ["c.out"], 3)["c.out"])
    assert len(found) == 3
    assert len({one["prediction"] for one in found}) == 1


def test_many_topics_and_many_models(broker: Broker, regressor_file: Path) -> None:
    """Two groups have each event of two topics, and write to topics of their own."""
    create(broker, "d1", "d2", "d.x", "d.y")
    for topic in ("d1", "d2"):
        send(broker, topic, [record(n % 9) for n in range(100)])
    common = {"SKDEPLOY_TOPICS": "d1,d2"}
    with (
        consuming(
            broker,
            regressor_file,
            SKDEPLOY_OUTPUT_TOPIC="d.x",
            SKDEPLOY_GROUP="x",
            SKDEPLOY_DEPLOYMENT="x",
            **common,
        ),
        consuming(
            broker,
            regressor_file,
            SKDEPLOY_OUTPUT_TOPIC="d.y",
            SKDEPLOY_GROUP="y",
            SKDEPLOY_DEPLOYMENT="y",
            **common,
        ),
    ):
        found = received(broker, ["d.x", "d.y"], 400)
    for name in "xy":
        made = ids(found[f"d.{name}"])
        assert len(made) == len(found[f"d.{name}"]) == 200
        assert {one.split("/")[0] for one in made} == {name}
        assert {one.split("/")[1] for one in made} == {"d1", "d2"}


def test_sigterm_drains_and_leaves_the_group(broker: Broker, regressor_file: Path, tmp_path: Path) -> None:
    """It ends with 0, what it did is committed, and the next has the partitions without a timeout."""
    create(broker, "e", "e.out")
    send(broker, "e", [record(3) for _ in range(50)])
    arguments = ["--topics", "e", "--output", "e.out", "--group", "e", "--bootstrap", broker.bootstrap]
    environ = environment(
        broker, regressor_file, {"SKDEPLOY_KAFKA_BOOTSTRAP": "", "SKDEPLOY_COMMIT_SECONDS": "60"}
    )
    with command(tmp_path, arguments, environ) as (process, log):
        received(broker, ["e.out"], 50)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    send(broker, "e", [record(4) for _ in range(50)])
    began = time.monotonic()
    with consuming(
        broker, regressor_file, SKDEPLOY_TOPICS="e", SKDEPLOY_OUTPUT_TOPIC="e.out", SKDEPLOY_GROUP="e"
    ):
        found = received(broker, ["e.out"], 100)["e.out"]
    assert len(found) == len(ids(found)) == 100
    assert time.monotonic() - began < 20


def test_a_slow_prediction_causes_no_rebalance(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes longer than max.poll.interval.ms, and the group is kept; nothing comes twice."""
    create(broker, "f", "f.out")
    frame = small_frame()
    target = frame["age"] * 2.0
    pipeline = make_pipeline(FunctionTransformer(taking_its_time), small_pipeline(LinearRegression()))
    skdeploy.save(pipeline.fit(frame, target), frame, target, tmp_path / "slow.bin", name="slow")
    config = tmp_path / "kafka"
    soon = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300, "max.poll.interval.ms": 2000}
    config.write_text("# soon\n" + "".join(f"{name} = {value}\n" for name, value in soon.items()))
    send(broker, "f", [record(age) for age in (1, SLOW_AGE, 2)])
    settings = {
        "SKDEPLOY_TOPICS": "f",
        "SKDEPLOY_OUTPUT_TOPIC": "f.out",
        "SKDEPLOY_GROUP": "f",
        "SKDEPLOY_KAFKA_CONFIG": str(config),
    }
    with consuming(broker, tmp_path / "slow.bin", **settings):
        received(broker, ["f.out"], 3)
        send(broker, "f", [record(4)])
        found = received(broker, ["f.out"], 4)["f.out"]
    assert len(found) == len(ids(found)) == 4
    assert caplog.text.count("Partitions that came") == 1
    assert caplog.text.count("Partitions that went") == 1
    assert "were lost" not in caplog.text


def test_a_full_queue_makes_the_consumer_wait(broker: Broker, regressor_file: Path) -> None:
    """With room for a few predictions at a time none is lost."""
    create(broker, "g", "g.out")
    send(broker, "g", [record(n % 9) for n in range(3000)])
    settings = {
        "SKDEPLOY_TOPICS": "g",
        "SKDEPLOY_OUTPUT_TOPIC": "g.out",
        "SKDEPLOY_GROUP": "g",
        "SKDEPLOY_MAX_MEMORY": "8K",
    }
    with consuming(broker, regressor_file, **settings):
        found = received(broker, ["g.out"], 3000)["g.out"]
    assert len(found) == len(ids(found)) == 3000


def test_metrics_and_readiness(broker: Broker, regressor_file: Path) -> None:
    """Ready once it is in the group; counts, lag, latency and the model are told."""
    create(broker, "h", "h.out", "h.out.dead-letters", partitions=1)
    hour_ahead = int(time.time() * 1000) + 3_600_000
    events = [Sent(record(3)) for _ in range(8)] + [Sent(record(3), timestamp=hour_ahead), Sent(b"{")]
    send(broker, "h", events)
    port = free_port()
    settings = {
        "SKDEPLOY_TOPICS": "h",
        "SKDEPLOY_OUTPUT_TOPIC": "h.out",
        "SKDEPLOY_GROUP": "h",
        "SKDEPLOY_METRICS_LISTEN": str(port),
    }
    with consuming(broker, regressor_file, **settings):
        seen = set()

        def is_ready() -> bool:
            seen.add(page(port, "/ready"))
            return (200, "ready\n") in seen

        wait_until(is_ready, "it is in the group")
        # But for the time before it listens.
        assert seen - {(0, "")} == {(503, "not in the group yet\n"), (200, "ready\n")}
        received(broker, ["h.out", "h.out.dead-letters"], 10)
        wait_until(
            lambda: 'skdeploy_stream_lag{partition="0",topic="h"} 0.0' in page(port, "/metrics")[1], "0"
        )
        told = page(port, "/metrics")[1]
        assert page(port, "/other")[0] == 404
    assert "skdeploy_stream_events_total 10.0" in told
    assert "skdeploy_stream_predictions_total 9.0" in told
    assert 'skdeploy_stream_dead_letters_total{reason="malformed-body"} 1.0' in told
    assert "skdeploy_stream_latency_seconds_count 9.0" in told
    # A clock that is ahead counts as no time at all.
    assert 'skdeploy_stream_latency_seconds_bucket{le="0.005"} 1.0' in told
    assert "skdeploy_stream_rebalances_total 1.0" in told
    # Nine records say nothing of a distribution.
    assert "skdeploy_drift_records 9.0" in told
    assert 'skdeploy_drift_unseen_share{column="kind"} 0.0' in told
    assert "skdeploy_drift_psi{" not in told
    digest = hashlib.sha256(regressor_file.read_bytes()).hexdigest()
    assert f'engine="sklearn",model="tree",sha256="{digest[:16]}"' in told
    assert page(port, "/ready")[0] == 0


@pytest.mark.parametrize("once", ["0", "1"])
def test_brokers_that_are_not_there_are_said(broker: Broker, regressor_file: Path, once: str) -> None:
    """By /ready, in either mode; and who has begun nothing ends soon when told to."""
    port = free_port()
    settings = {
        "SKDEPLOY_TOPICS": "a",
        "SKDEPLOY_OUTPUT_TOPIC": "o",
        "SKDEPLOY_GROUP": "g",
        "SKDEPLOY_METRICS_LISTEN": str(port),
    }
    elsewhere = {"SKDEPLOY_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}", "SKDEPLOY_EXACTLY_ONCE": once}
    with consuming(broker, regressor_file, **settings, **elsewhere):
        wait_until(lambda: page(port, "/ready") == (503, "no broker can be reached\n"), "it says so")
        told = time.monotonic()
    assert time.monotonic() - told < 10


def test_a_large_poison_event_is_cut(broker: Broker, regressor_file: Path) -> None:
    """A dead letter of it fits a message, and says what the whole was."""
    create(broker, "i", "i.out.dead-letters")
    value = b"x" * 999_000
    send(broker, "i", [value])
    with consuming(
        broker, regressor_file, SKDEPLOY_TOPICS="i", SKDEPLOY_OUTPUT_TOPIC="i.out", SKDEPLOY_GROUP="i"
    ):
        [letter] = received(broker, ["i.out.dead-letters"], 1)["i.out.dead-letters"]
    headers = dict(letter.headers() or [])
    assert headers["skdeploy-size"] == b"999000"
    assert headers["skdeploy-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert 990_000 < len(letter.value() or b"") < 999_000


@pytest.mark.parametrize(
    ("arguments", "change", "code", "said"),
    [
        (GOOD[:4], {}, 2, "SKDEPLOY_GROUP is empty: set it, or say --group"),
        ([*GOOD, "--output", "a"], {}, 2, "a is read and written"),
        (GOOD, {"SKDEPLOY_MODEL_URI": "none.bin"}, 3, "none.bin"),
    ],
    ids=["no group", "a topic into itself", "no model"],
)
def test_what_is_wrong_has_an_exit_code(
    broker: Broker,
    regressor_file: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    change: dict[str, str],
    code: int,
    said: str,
) -> None:
    """2 for settings, 3 where there is no model; the message says which."""
    assert main(arguments, environment(broker, regressor_file, change)) == code
    assert said in capsys.readouterr().err


def test_a_port_of_metrics_that_is_taken_is_named(
    broker: Broker, regressor_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, and the message has the variable, the port and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(GOOD, environment(broker, regressor_file, {"SKDEPLOY_METRICS_LISTEN": port})) == 2
    assert f"SKDEPLOY_METRICS_LISTEN={port} of 127.0.0.1 cannot be had" in capsys.readouterr().err


def test_an_argument_that_is_unknown_ends_with_2() -> None:
    """As every command of its kind."""
    with pytest.raises(SystemExit) as ended:
        main(["--nonsense"], {})
    assert ended.value.code == 2


def test_another_model_between_polls(broker: Broker, tmp_path: Path) -> None:
    """With SKDEPLOY_WATCH_SECONDS a consumer has what the URI names now; each prediction says whose it is."""
    create(broker, "j", "j.out")
    path = tmp_path / "ages.bin"
    old = saved(path, 2.0)
    arguments = ["--topics", "j", "--output", "j.out", "--group", "j"]
    with command(tmp_path, arguments, environment(broker, path, {"SKDEPLOY_WATCH_SECONDS": "0.2"})) as (
        process,
        log,
    ):
        send(broker, "j", [record(3)])
        received(broker, ["j.out"], 1)
        new = saved(path, 5.0)
        said(log, "Now serving")
        send(broker, "j", [record(3)])
        found = documents(received(broker, ["j.out"], 2)["j.out"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    answers = {(one["model"]["version"], round(one["prediction"])) for one in found}
    assert answers == {(old.version, 6), (new.version, 15)}
    poller = re.search(r"The source poller's process is (\d+)", log.read_text())
    assert poller is not None
    wait_until(lambda: not Path("/proc", poller[1]).exists(), "the poller has ended")
