"""One run: each contestant in rounds over the same events, one process at a time on a core of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from subprocess import Popen

from benchmarks import session
from benchmarks.documents import Document
from benchmarks.processes import Command, started
from benchmarks.stream import function, latency, topics
from benchmarks.stream.contestants import CONTESTANTS, Contestant
from benchmarks.stream.measuring import Measured, measure
from benchmarks.workbench import Cpus
from examples.servers.kafka import kafka_server
from skdeploy.config import DECLARED

_ROOT = Path(__file__).parents[2]
_MANY, _FEW, _PACED = "flights", "few-flights", "paced-flights"
# Of the slowest, who takes 10 ms for each.
FEW_EVENTS = 1500


@dataclass(frozen=True, slots=True)
class Session:
    """What the parts of a run share."""

    bootstrap: str
    folder: Path
    events: int
    cpus: Cpus

    @contextmanager
    def running(self, contestant: Contestant, events: str, output: str) -> Iterator[Popen[bytes]]:
        """A contestant that writes a topic, which is gone afterwards, as is the contestant."""
        topics.make(self.bootstrap, output)
        inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        command = Command(
            contestant.command(self.bootstrap, events, output),
            _ROOT,
            inherited | threads | contestant.settings,
            self.log(contestant),
        )
        with started(command, self.cpus.server) as process:
            yield process
        topics.forget(self.bootstrap, output)

    def log(self, contestant: Contestant) -> Path:
        """Where it writes."""
        return self.folder / f"{contestant.key}.log"

    def measure(self, contestant: Contestant, output: str) -> Measured:
        """Its events per second."""
        name, count = (_FEW, FEW_EVENTS) if contestant.few else (_MANY, self.events)
        with self.running(contestant, name, output) as process:
            watched = topics.Watched(self.bootstrap, output)
            try:
                return measure(process, self.log(contestant), watched, count)
            finally:
                watched.close()

    def latency(self, contestant: Contestant, rate: float, number: int) -> latency.Latency:
        """From event to prediction at a rate."""
        events = f"{_PACED}-{number}"
        topics.load(self.bootstrap, events, 1)
        with self.running(contestant, events, f"{events}-{contestant.key}"):
            return latency.measure(self.bootstrap, events, f"{events}-{contestant.key}", rate)


def run(keys: Sequence[str], rounds: int, events: int) -> Document:
    """Measure the contestants `keys`."""
    cpus = Cpus.reserve()
    with tempfile.TemporaryDirectory(prefix="skdeploy-bench-") as name:
        folder = Path(name)
        with kafka_server(folder) as broker:
            session.say(f"sending {events:,} events")
            topics.load(broker.bootstrap, _MANY, events)
            topics.load(broker.bootstrap, _FEW, FEW_EVENTS)
            document = _rounds(Session(broker.bootstrap, folder, events, cpus), keys, rounds)
    if "skdeploy" in keys:
        session.say("the Lambda function")
        document["function"] = function.run()
    return document


def _rounds(run: Session, keys: Sequence[str], rounds: int) -> Document:
    document: Document = {
        **session.where_and_when(),
        "rounds": rounds,
        "events": run.events,
        "contestants": {key: [] for key in keys},
        "latency": [],
    }
    for number in range(rounds):
        for key in keys:
            taken = run.measure(CONTESTANTS[key], f"{key}-{number}")
            document["contestants"][key].append({"rate": round(taken.rate, 1), "cpu": round(taken.cpu, 2)})
            session.say(
                f"round {number + 1} of {rounds}: {CONTESTANTS[key].label}: {taken.rate:,.0f} events/s, "
                f"{taken.cpu:.1f} microseconds of CPU time each"
            )
    for number in range(rounds if "skdeploy" in keys else 0):
        half = median(one["rate"] for one in document["contestants"]["skdeploy"]) / 2
        found = run.latency(CONTESTANTS["skdeploy"], half, number)
        document["latency"].append({name: round(value, 1) for name, value in asdict(found).items()})
        session.say(f"round {number + 1} of {rounds}: {found}")
    return document
