"""Compare the service's own figures with those that its clients see, by a real Prometheus.

python -m benchmarks.signals run       measure, print, keep signals.json, write the table; 3 minutes
python -m benchmarks.signals report    write the table from signals.json

One worker, one record per request. Clients on 64 and on 256 connections pause after each answer, so that
together they ask for half of what the service can answer, for all of it, and for three times as much. The
durations of the histogram, and the time that the requests in flight mean (by Little's law: requests in flight
over requests per second), are compared with what the clients have measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import clients, command, report
from benchmarks.command import Suite
from benchmarks.documents import Document
from benchmarks.operating import ours
from benchmarks.servers import ROOT
from benchmarks.session import opened, say, where_and_when
from benchmarks.workbench import Running
from examples.servers.prometheus import Prometheus, prometheus

_FILE = Path(__file__).parent / "signals.json"
_BEGIN = "<!-- written by `python -m benchmarks.signals` -->\n"
_LOADS = (0.5, 1.0, 3.0)
_CONNECTIONS = (64, 256)
# Seconds before and after a load that are scraped, too.
_EDGE = 2


def measure(_chosen: Sequence[str], rounds: int, seconds: int) -> Document:
    """What clients and the service say of the same requests."""
    with opened(rounds, seconds) as session:
        document: Document = {**where_and_when(), "rounds": rounds, "loads": {}}
        for number in range(rounds):
            folder = session.folder / f"round-{number}"
            folder.mkdir()
            with (
                session.up(ours("skdeploy", {})) as up,
                prometheus(folder, {"skdeploy": up.port}) as asked,
            ):
                for connections in _CONNECTIONS:
                    _measure(document["loads"], up, asked, connections, seconds)
        return document


def _measure(loads: dict[str, Any], up: Running, asked: Prometheus, connections: int, seconds: int) -> None:
    most = _seen(up, connections, 0, 3).rate
    for share in _LOADS:
        pause = connections / (share * most)
        time.sleep(_EDGE)
        seen = _seen(up, connections, pause, seconds)
        time.sleep(_EDGE)
        said = _said(asked, seconds)
        found = {
            "asked": connections / pause,
            "rate": seen.rate,
            **{f"client {name}": getattr(seen, name) * 1000 for name in ("mean", "p50", "p99")},
            **{name: value * 1000 for name, value in said.items()},
        }
        rounded = {name: float(f"{value:.3g}") for name, value in found.items()}
        loads.setdefault(f"{connections} connections, {share:g} of the load", []).append(rounded)
        say(f"{connections} connections, {share:g}: {rounded}")


def _seen(up: Running, connections: int, pause: float, seconds: int) -> clients.Seen:
    bodies = up.bodies[1].read_bytes().splitlines()
    return clients.load(up.port, bodies, connections=connections, pause=pause, seconds=seconds)


def _said(asked: Prometheus, seconds: int) -> dict[str, float]:
    """Seconds, as Prometheus has them of the load that has just ended."""
    window = f"[{seconds + 2 * _EDGE - 1}s]"

    def over(name: str) -> str:
        return f'rate(skdeploy_request_duration_seconds_{name}{{route="/predict"}}{window})'

    in_flight = f"avg_over_time(skdeploy_requests_in_flight{window})"
    lag = f"rate(skdeploy_loop_lag_seconds_bucket{window})"
    return {
        "histogram p50": asked.number(f"histogram_quantile(0.5, {over('bucket')})"),
        "histogram p99": asked.number(f"histogram_quantile(0.99, {over('bucket')})"),
        "gauge": asked.number(f"{in_flight} / ignoring (route) {over('count')}"),
        "lag p99": asked.number(f"histogram_quantile(0.99, {lag})"),
        "busy": asked.number(f"max_over_time(rate(skdeploy_loop_busy_seconds_total[5s]){window[:-1]}:1s])")
        / 1000,
    }


def section(document: Document) -> str:
    """The table."""
    rows = []
    for name, rounds in document["loads"].items():
        middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        rows.append(
            (
                name,
                f"{middle['rate']:,.0f}",
                f"{middle['client p50']:.3g} / {middle['histogram p50']:.3g}",
                f"{middle['client p99']:.3g} / {middle['histogram p99']:.3g}",
                f"{middle['client mean']:.3g} / {middle['gauge']:.3g}",
                f"{middle['lag p99']:.3g}",
                f"{middle['busy']:.0%}",
            )
        )
    head = ("", "answers/s", "p50", "p99", "mean, by the gauge", "loop's lag, p99", "loop busy")
    return f"{report.machine(document)}\nMilliseconds, as clients saw them / as the service says.\n\n" + (
        report.markdown(head, rows) + "\n"
    )


def _write(document: Document) -> None:
    report.replace_between(ROOT / "benchmarks" / "README.md", _BEGIN, section(document))


SUITE = Suite(
    "python -m benchmarks.signals", __doc__, ["skdeploy"], ("seconds", 12), measure, _FILE, _write, section
)

if __name__ == "__main__":
    command.main(SUITE)
