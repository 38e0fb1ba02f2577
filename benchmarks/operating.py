"""What it costs to look into the service, and what it does with more than it can answer.

python -m benchmarks.operating run       measure, print, keep operating.json, write the table; 7 minutes
python -m benchmarks.operating report    write the table from operating.json

One worker, one record per request, connections kept open, closed loop. The first part asks the services of
`benchmarks.looks` in turns. The second has SKDEPLOY_ENGINE=sklearn and clients that ask again at once when
they are refused.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import command, load, looks, report
from benchmarks.command import Suite
from benchmarks.documents import Document
from benchmarks.servers import ROOT, SERVERS, Server
from benchmarks.session import Session, opened, say, where_and_when
from benchmarks.workbench import Running

_FILE = Path(__file__).parent / "operating.json"
_BEGIN = "<!-- written by `make bench-operating` -->\n"
_CONNECTIONS = 16
# Times that each kind is asked in a round.
_TURNS = 5
_SATURATING = (4, 8, 16, 32)
_CROWD = {"overload": {}, "overload, SKDEPLOY_MAX_WAITING=8": {"SKDEPLOY_MAX_WAITING": "8"}}


def measure(_chosen: Sequence[str], rounds: int, seconds: int) -> Document:
    """The rates of every kind, in rounds."""
    with opened(rounds, seconds) as session:
        document: Document = {**where_and_when(), "rounds": rounds, "looks": {}, "crowd": {}}
        for number in range(rounds):
            _measure_looks(session, document["looks"], number)
            _measure_crowd(session, document["crowd"], number)
        return document


def _measure_looks(session: Session, rates: dict[str, Any], number: int) -> None:
    """In turns, in one process: a start's rate differs from the next one's by more than what is measured."""
    server = ours("skdeploy", {}, "benchmarks.looks:switch()")
    with session.up(dataclasses.replace(server, path=looks.path(1))) as up:
        for _ in range(_TURNS):
            for place, name in enumerate(looks.LOOKS):
                good = _goodput(session, up, looks.path(place), _CONNECTIONS).good
                rates.setdefault(name, []).append(round(good))
                say(f"round {number + 1}: {name}: {good:,.0f}/s")


def _measure_crowd(session: Session, crowd: dict[str, Any], number: int) -> None:
    rates = {count: _crowded(session, {}, count).good for count in _SATURATING}
    best = max(rates.values())
    # The fewest that reach nearly all that can be had.
    enough = min(count for count, rate in rates.items() if rate >= 0.95 * best)
    say(f"round {number + 1}: saturated by {enough} connections: {best:,.0f}/s")
    crowd.setdefault("saturated", []).append({"connections": enough, "good": round(best)})
    for name, settings in _CROWD.items():
        one = _crowded(session, settings, 3 * enough)
        rounded = {key: round(value) for key, value in dataclasses.asdict(one).items()}
        found = {"connections": 3 * enough, **rounded}
        crowd.setdefault(name, []).append({**found, "share": round(one.good / best, 3)})
        say(f"round {number + 1}: {name}: {found}")


def _crowded(session: Session, settings: dict[str, str], connections: int) -> load.Goodput:
    with session.up(ours("skdeploy-sklearn", settings)) as up:
        return _goodput(session, up, up.server.path, connections)


def _goodput(session: Session, up: Running, path: str, connections: int) -> load.Goodput:
    url = f"http://127.0.0.1:{up.port}{path}"
    return load.goodput(url, up.bodies[1], connections=connections, seconds=session.seconds, cpu=up.cpus.load)


def ours(key: str, settings: dict[str, str], application: str = "predict:app") -> Server:
    """Ours, in the environment that the benchmark itself runs in."""
    gunicorn = (sys.executable, "-m", "gunicorn", "-c", "web-service/gunicorn.conf.py", application)
    server = SERVERS[key]
    environment = {**server.environment, **settings, "SKDEPLOY_STATE_DIR": ""}
    return dataclasses.replace(server, command=gunicorn, environment=environment)


def section(document: Document) -> str:
    """The tables."""
    looked, crowd = _looks_table(document["looks"]), _crowd_table(document["crowd"])
    return f"{report.machine(document)}\n{looked}\n\n{crowd}\n"


def _looks_table(looked: dict[str, list[int]]) -> str:
    first, *_ = looked.values()
    rows = []
    for name, rates in looked.items():
        shares = sorted(rate / base for rate, base in zip(rates, first, strict=True))
        spread = f"{shares[0]:.2f} to {shares[-1]:.2f}"
        rows.append((name, f"{statistics.median(rates):,.0f}", f"{statistics.median(shares):.2f}", spread))
    return report.markdown(("16 connections", "requests/s", "of SKDEPLOY_METRICS=0", "least and most"), rows)


def _crowd_table(crowd: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for name, rounds in crowd.items():
        middle = {key: statistics.median(one.get(key, 0) for one in rounds) for key in rounds[0]}
        rows.append(
            (
                name,
                f"{middle['connections']:.0f}",
                f"{middle['good']:,.0f}",
                f"{middle['share']:.2f}" if "share" in middle else "1",
                f"{middle.get('refused', 0):,.0f}",
                f"{middle['p99']:,.0f}" if "p99" in middle else "",
            )
        )
    head = ("SKDEPLOY_ENGINE=sklearn", "connections", "answered/s", "of the most", "refused/s", "p99, ms")
    return report.markdown(head, rows)


def _write(document: Document) -> None:
    report.replace_between(ROOT / "benchmarks" / "README.md", _BEGIN, section(document))


SUITE = Suite(
    "python -m benchmarks.operating",
    __doc__,
    list(looks.LOOKS),
    ("seconds", 4),
    measure,
    _FILE,
    _write,
    section,
)

if __name__ == "__main__":
    command.main(SUITE)
