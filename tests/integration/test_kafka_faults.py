"""Apache Kafka with consumers that die, topics that are not there, events that are bad.

Each test counts events in and predictions out. `pytest -rP` shows the counts.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from examples.servers.kafka import Broker, kafka_server
from examples.servers.process import ServerNotInstalled, free_ports
from tests.conftest import small_frame, small_pipeline
from tests.live import page, wait_until
from tests.own_transformers import slowly
from tests.stream.kafka_cluster import (
    QUICK,
    Fleet,
    Reader,
    Sender,
    good,
    make_topics,
    predicted,
    report,
    steady,
)

pytestmark = pytest.mark.heavy

MODES = {"at least once": (), "exactly once": ("--exactly-once",)}
SETTINGS = {"auto.create.topics.enable": "false", "message.max.bytes": "1048588"}
ENVIRON = {"SKDEPLOY_ENGINE": "sklearn", "SKDEPLOY_DEPLOYMENT": "trees", "SKDEPLOY_COMMIT_SECONDS": "0.3"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka, which makes no topic that it is not told to make."""
    try:
        with kafka_server(tmp_path_factory.mktemp("kafka"), SETTINGS) as running:
            yield running
    except ServerNotInstalled as error:
        pytest.skip(str(error))


class Stage:
    """Topics of a test's own, a fleet over them, and who sends and reads."""

    def __init__(self, broker: Broker, folder: Path, name: str, model: Path) -> None:
        self.bootstrap = broker.bootstrap
        self.events, self.predictions, self.dead = (f"{name}-{what}" for what in ("in", "out", "dead"))
        self.model = model
        self._folder = folder
        self._group = name

    def make_topics(self, *names: str, **settings: str) -> None:
        make_topics(self.bootstrap, *(names or (self.events, self.predictions, self.dead)), **settings)

    def fleet(self, *flags: str, config: tuple[str, ...] = QUICK, **environ: str) -> Fleet:
        arguments = ["--bootstrap", self.bootstrap, "--group", self._group, "--topics", self.events]
        arguments += ["--output", self.predictions, "--dead-letters", self.dead, *flags]
        return Fleet(
            self._folder, arguments, {"SKDEPLOY_MODEL_URI": str(self.model), **ENVIRON, **environ}, config
        )

    def sender(self) -> Sender:
        return Sender(self.bootstrap, self.events)

    def reader(self, topic: str | None = None, *, committed: bool = True) -> Reader:
        return Reader(self.bootstrap, topic or self.predictions, committed=committed)


@pytest.fixture
def stage(broker: Broker, tmp_path: Path, regressor_file: Path, request: pytest.FixtureRequest) -> Stage:
    """With names after the test."""
    name = "".join(one if one.isalnum() else "-" for one in request.node.name).strip("-")
    return Stage(broker, tmp_path, name, regressor_file)


def require_all(reader: Reader, sent: int, *, once: bool) -> None:
    """Every event has its prediction; another one of it only where that may be, and then the same."""
    reader.to_the_end()
    assert len(reader.counts) == sent
    assert {predicted(one.value)[0] for one in reader.arrived} == {*range(sent)}
    assert [values for values in reader.payloads.values() if len(values) > 1] == []
    if once:
        assert reader.repeated == 0


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("mode", MODES)
def test_kills_lose_nothing(stage: Stage, mode: str, kills: int) -> None:
    """Of three consumers under load one is killed again and again; exactly once is exactly once."""
    stage.make_topics()
    sender, moments = stage.sender(), random.Random(20261128)
    once = mode == "exactly once"
    with stage.fleet(*MODES[mode], SKDEPLOY_MAX_POLL_RECORDS="500") as fleet, stage.reader() as reader:
        fleet.start("a", "b", "c")
        sender.send_good(2000)
        assert reader.until(1, 30), fleet.logs()
        with steady(sender, rate=2500):
            for _ in range(kills):
                reader.until(10**9, moments.uniform(0.5, 2.0), fleet.tend)
                victim = moments.choice("abc")
                fleet.kill(victim)
                fleet.start(victim)
        assert reader.until(sender.sent, 60, fleet.tend), fleet.logs()
        codes = fleet.stop()
        require_all(reader, sender.sent, once=once)
        with stage.reader(committed=False) as raw:
            raw.to_the_end()
    report(
        f"{kills} kills, {mode}",
        events=sender.sent,
        predictions=len(reader.counts),
        repeated=reader.repeated,
        aborted=len(raw.arrived) - len(reader.arrived),
        ended_by_themselves=len(fleet.ended),
    )
    # The last one that was started may be told to end before it listens to signals: it has done nothing.
    # And one may learn only then that its transaction is no longer its own.
    assert set(codes.values()) <= {0, 1, -15}, fleet.logs()
    # Else the kills would have hit nobody at work.
    assert raw.repeated > 0


def test_an_output_topic_that_is_not_there_yet_is_waited_for(stage: Stage) -> None:
    """The predictions' topic is made long after the first events came: each has its prediction in it."""
    stage.make_topics(stage.events, stage.dead)
    sender = stage.sender()
    sender.send_good(1000)
    sender.flush()
    with stage.fleet() as fleet:
        fleet.start("a")
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            fleet.tend()
            time.sleep(0.1)
        stage.make_topics(stage.predictions)
        with stage.reader() as reader:
            assert reader.until(sender.sent, 60, fleet.tend), fleet.logs()
            codes = fleet.stop()
            require_all(reader, sender.sent, once=False)
    report(
        "output topic missing for 8 s",
        events=sender.sent,
        predictions=len(reader.counts),
        repeated=reader.repeated,
        ended_by_themselves=len(fleet.ended),
    )
    assert set(codes.values()) == {0}, fleet.logs()


@pytest.mark.parametrize("mode", MODES)
def test_a_poison_record_in_every_hundred_costs_its_neighbours_nothing(stage: Stage, mode: str) -> None:
    """99 of 100 have predictions, and the hundredth a dead letter with its bytes and the reason."""
    stage.make_topics()
    sender = stage.sender()
    poison = {0: b"\xff{", 1: good(0).replace(b'"ash"', b'"palm"'), 2: b'{"size": 1}', 3: b"[]"}
    sent = {}
    for number in range(20_000):
        if number % 100 == 50:
            sent[b"%d" % number] = poison[number // 100 % len(poison)]
        sender.send(sent.get(b"%d" % number) or good(number))
    sender.flush()
    once = mode == "exactly once"
    with stage.fleet(*MODES[mode]) as fleet, stage.reader() as reader, stage.reader(stage.dead) as dead:
        fleet.start("a")
        assert reader.until(sender.sent - len(sent), 40), fleet.logs()
        assert dead.until(len(sent), 40), fleet.logs()
        codes = fleet.stop()
        reader.to_the_end()
        dead.to_the_end()
    assert not reader.counts.keys() & sent.keys()
    assert {one.key: one.value for one in dead.arrived} == sent
    reasons = {one.headers["skdeploy-reason"] for one in dead.arrived}
    assert reasons == {b"malformed-body", b"invalid-record"}
    assert not once or reader.repeated == dead.repeated == 0
    report(
        f"poison in every hundred, {mode}",
        events=sender.sent,
        predictions=len(reader.counts),
        dead_letters=len(dead.counts),
    )
    assert codes == {"a": 0}


def test_an_event_of_a_megabyte_is_one_like_others(stage: Stage) -> None:
    """A good one has its prediction; a bad one's dead letter is cut, and says of what it was."""
    stage.make_topics()
    sender = stage.sender()
    limit = 1_048_000
    padded = good(0)[:-1] + b" " * (limit - len(good(0))) + b"}"
    poison = b'{"size": "' + b"x" * (limit - 12) + b'"}'
    sender.send(padded)
    sender.send(poison)
    sender.send_good(100)
    sender.flush()
    with stage.fleet() as fleet, stage.reader() as reader, stage.reader(stage.dead) as dead:
        fleet.start("a")
        assert reader.until(101, 30), fleet.logs()
        assert dead.until(1, 30), fleet.logs()
        assert fleet.stop() == {"a": 0}
        dead.to_the_end()
    [letter] = dead.arrived
    assert poison.startswith(letter.value)
    assert letter.headers["skdeploy-size"] == b"%d" % len(poison)
    assert letter.headers["skdeploy-sha256"] == hashlib.sha256(poison).hexdigest().encode()
    report("two events of 1 MB", events=102, predictions=101, dead_letters=1, kept_bytes=len(letter.value))


def test_clocks_that_are_wrong_lose_nothing(stage: Stage) -> None:
    """Event times of tomorrow and of 1970 pass through; the latency metric is never below 0."""
    # By default the broker refuses what is more than an hour ahead of its clock.
    stage.make_topics(**{"message.timestamp.after.max.ms": str(10**12)})
    sender, now = stage.sender(), int(time.time() * 1000)
    times = [now + 86_400_000, 1, now - 3_600_000, now]
    for number in range(4000):
        sender.send(good(number), timestamp=times[number % 4])
    sender.flush()
    [port] = free_ports(1)
    with stage.fleet(SKDEPLOY_METRICS_LISTEN=str(port)) as fleet, stage.reader() as reader:
        fleet.start("a")
        assert reader.until(4000, 30), fleet.logs()
        metrics = page(port, "/metrics")[1]
        assert fleet.stop() == {"a": 0}
        require_all(reader, 4000, once=False)
    assert {int(one.key): one.timestamp for one in reader.arrived} == {
        number: times[number % 4] for number in range(4000)
    }
    sums = [float(line.split()[-1]) for line in metrics.splitlines() if "latency" in line and "_sum" in line]
    assert sums
    assert all(0 <= total < 4000 * time.time() for total in sums), sums
    report("clocks wrong by a day and by decades", events=4000, predictions=len(reader.counts))


@pytest.fixture(scope="module")
def slow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes seconds for a poll."""
    frame = small_frame()
    pipeline = make_pipeline(FunctionTransformer(slowly), small_pipeline(LinearRegression()))
    path = tmp_path_factory.mktemp("slow") / "tree.bin"
    target = np.asarray(frame["age"] * 2.5)
    skdeploy.save(pipeline.fit(frame, target), frame, target, path, name="slow")
    return path


def test_a_rebalance_during_a_slow_poll_repeats_little(stage: Stage, slow_file: Path) -> None:
    """A consumer joins, while another predicts for longer than a poll may take: no loop, nothing lost."""
    stage.make_topics()
    stage.model = slow_file
    sender = stage.sender()
    sender.send_good(6000)
    sender.flush()
    config = (*QUICK, "max.poll.interval.ms=3000")
    slow = stage.fleet(config=config, SKDEPLOY_MAX_POLL_RECORDS="1000", SLOW_SECONDS="4")
    with slow as fleet, stage.reader() as reader:
        fleet.start("a")
        # It has its partitions, and is in its first slow call.
        time.sleep(3)
        fleet.start("b")
        assert reader.until(sender.sent, 60, fleet.tend), fleet.logs()
        codes = fleet.stop()
        require_all(reader, sender.sent, once=False)
    report(
        "rebalance during a slow poll",
        events=sender.sent,
        predictions=len(reader.counts),
        repeated=reader.repeated,
        ended_by_themselves=len(fleet.ended),
    )
    assert set(codes.values()) == {0}, fleet.logs()
    assert reader.repeated <= 2000
    assert fleet.ended == []


def answers_ready(port: int, status: int) -> Callable[[], bool]:
    """Whether /ready answers so."""
    return lambda: page(port, "/ready")[0] == status


@pytest.mark.parametrize("mode", MODES)
def test_a_broker_that_is_killed_is_waited_for(broker: Broker, stage: Stage, mode: str) -> None:
    """The broker dies and comes back: consumers go on, and nothing is lost.

    At least once, it dies under load; exactly once, between two commits: a broker that is alone and is
    killed amid a commit forgets the rest of it (streaming/README.md, "When things break").
    """
    stage.make_topics()
    sender, once = stage.sender(), mode == "exactly once"
    [port] = free_ports(1)
    with stage.fleet(*MODES[mode]) as fleet, stage.reader() as reader:
        fleet.start("a", SKDEPLOY_METRICS_LISTEN=str(port))
        fleet.start("b")
        sender.send_good(1000)
        assert reader.until(1000, 30), fleet.logs()
        wait_until(answers_ready(port, 200), fleet.logs)
        if once:
            time.sleep(1)
            broker.process.kill()
        with steady(sender, rate=2000):
            time.sleep(1)
            broker.process.kill()
            began = time.monotonic()
            wait_until(answers_ready(port, 503), fleet.logs)
            time.sleep(max(0.0, began + 2 - time.monotonic()))
            broker.process.start()
            away = time.monotonic() - began
            time.sleep(1)
        assert reader.until(sender.sent, 60, fleet.tend), fleet.logs()
        codes = fleet.stop()
        require_all(reader, sender.sent, once=once)
    told(f"broker killed, {mode}", sender, reader, fleet, away)
    assert set(codes.values()) == {0}, fleet.logs()
    assert fleet.ended == [], fleet.logs()


@pytest.mark.parametrize("mode", MODES)
def test_a_broker_that_dies_amid_commits_is_said(broker: Broker, stage: Stage, mode: str) -> None:
    """By /ready, and who is told to stop ends in its time: librdkafka's commits wait for ever."""
    stage.make_topics()
    sender = stage.sender()
    [port] = free_ports(1)
    settings = {
        "SKDEPLOY_METRICS_LISTEN": str(port),
        "SKDEPLOY_COMMIT_SECONDS": "0.001",
        "SKDEPLOY_GRACEFUL_TIMEOUT": "3",
    }
    with stage.fleet(*MODES[mode]) as fleet, stage.reader() as reader:
        fleet.start("a", **settings)
        sender.send_good(1000)
        assert reader.until(1, 30), fleet.logs()
        with steady(sender, rate=2000):
            time.sleep(1)
            broker.process.kill()
            try:
                wait_until(answers_ready(port, 503), fleet.logs)
                [code] = fleet.stop().values()
            finally:
                broker.process.start()
        assert code in (0, 1), fleet.logs()


def test_a_broker_that_freezes_amid_transactions(tmp_path: Path, regressor_file: Path) -> None:
    """Each event is scored once. Whose transaction it gives up (10 s) ends with 1, and starts again."""
    settings = {**SETTINGS, "broker.session.timeout.ms": "60000"}
    with kafka_server(tmp_path / "kafka", settings) as broker:
        stage = Stage(broker, tmp_path, "frozen", regressor_file)
        stage.make_topics()
        sender = stage.sender()
        with stage.fleet("--exactly-once") as fleet, stage.reader() as reader:
            fleet.start("a", "b")
            sender.send_good(1000)
            assert reader.until(1000, 30), fleet.logs()
            with steady(sender, rate=2000):
                time.sleep(1)
                with broker.process.frozen():
                    time.sleep(12)
                time.sleep(1)
            assert reader.until(sender.sent, 60, fleet.tend), fleet.logs()
            codes = fleet.stop()
            require_all(reader, sender.sent, once=True)
        told("broker frozen, exactly once", sender, reader, fleet, 12)
    # One may learn of it only when it is told to end, or have just been started again.
    assert set(codes.values()) <= {0, 1, -15}, fleet.logs()
    assert {code for _, code in fleet.ended} <= {1}, fleet.logs()


def told(what: str, sender: Sender, reader: Reader, fleet: Fleet, away: float) -> None:
    """What came of an outage of `away` seconds, for `pytest -rP`."""
    report(
        what,
        seconds_away=round(away, 1),
        events=sender.sent,
        predictions=len(reader.counts),
        repeated=reader.repeated,
        ended_by_themselves=len(fleet.ended),
    )
