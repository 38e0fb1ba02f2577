"""A service under mixed load for minutes, with reloads and other models: what its processes take meanwhile.

`python -m tests.soak --minutes 10` (make soak) prints what came of it and draws docs/soak.png.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from sklearn.linear_model import LogisticRegression

import skdeploy
from tests.conftest import small_frame, small_pipeline
from tests.live import ROOT, Service, served
from tests.wire import Wire, chunked, request

CLIENTS = 4
# Few threads: all of them have started by the time that a process counts as warm.
SETTINGS = {
    "WEB_CONCURRENCY": "2",
    "SKDEPLOY_THREADS": "2",
    "SKDEPLOY_WATCH_SECONDS": "0.2",
    "SKDEPLOY_CLIENT_TIMEOUT": "5",
}
SAMPLE_SECONDS = 0.5
# The reloads come in the first quarter, so that the last workers are looked at for the rest.
RELOADS = (0.05, 0.1, 0.15, 0.2)
WARM = 0.4
SWAPS = 20
GOOD = b'{"size": 11.5, "kind": "elm", "age": 3}'
BAD = b'{"size": "wide", "kind": "elm", "age": 2.9}'
MANY = b"[" + b",".join([GOOD] * 3000) + b"]"
# Name: (path, body, the status that it must get).
REQUESTS = {
    "one record": ("/predict", GOOD, 200),
    "probabilities": ("/predict?proba=true", b"[" + GOOD + b"]", 200),
    "partial": ("/predict?errors=partial", b"[" + GOOD + b"," + BAD + b"]", 200),
    "bad cells": ("/predict", BAD, 422),
    "malformed": ("/predict", GOOD[:-1], 400),
    "3,000 records": ("/predict", MANY, 200),
    "3,000 records, one bad": ("/predict", MANY[:-1] + b"," + BAD + b"]", 422),
    "unknown path": ("/nothing", GOOD, 404),
}


@dataclass(frozen=True)
class Sample:
    """What a process took at a time: seconds since the start, bytes of memory, open files, threads.

    The memory is RssAnon: what it allocated or has from its parent. PSS would move with whatever else on
    the machine shares a library's pages.
    """

    second: float
    pid: int
    role: str
    memory: int
    files: int
    threads: int


@dataclass
class Soak:
    """What was seen.

    answered   right answers by kind of request
    lost       what came in place of an answer
    left       clients that went away in the middle of a body
    """

    seconds: float
    answered: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    left: int = 0
    samples: list[Sample] = field(default_factory=list)
    reloads: list[float] = field(default_factory=list)
    swaps: list[float] = field(default_factory=list)

    def growth(self) -> dict[tuple[str, int], dict[str, float]]:
        """By role and process: how much more it took in the end than when it was warm.

        Medians of the last fifth of the time, less those of the first fifth after WARM; processes that
        did not live in both have no entry.
        """
        begin, step = WARM * self.seconds, self.seconds / 5
        found = {}
        for role, pid in {(one.role, one.pid) for one in self.samples}:
            mine = [one for one in self.samples if one.pid == pid]
            early = [one for one in mine if begin <= one.second < begin + step]
            late = [one for one in mine if one.second >= self.seconds - step]
            if early and late:
                found[role, pid] = {
                    what: _median(late, what) - _median(early, what)
                    for what in ("memory", "files", "threads")
                }
        return found


def _median(samples: list[Sample], what: str) -> float:
    values = sorted(getattr(one, what) for one in samples)
    return float(values[len(values) // 2])


def save_model(path: Path, limit: float) -> None:
    """A classifier; another limit makes another model."""
    frame = small_frame()
    target = (frame["age"] > limit).map({True: "old", False: "young"})
    pipeline = small_pipeline(LogisticRegression()).fit(frame, target)
    skdeploy.save(pipeline, frame, target, path, name="ages")


def soak(folder: Path, seconds: float) -> Soak:
    """Let a service be asked for so long; it ends with exit code 0, or AssertionError."""
    model_file = folder / "served.bin"
    save_model(model_file, 3.5)
    seen = Soak(seconds)
    with served(folder, SKDEPLOY_MODEL_URI=str(model_file), **SETTINGS) as service:
        with _clients(service, seen):
            _run(service, model_file, seen)
        assert service.stop() == 0, service.log()
    return seen


def _run(service: Service, model_file: Path, seen: Soak) -> None:
    """Samples, reloads and other models, each in its time."""
    began = time.monotonic()
    reloads = [share * seen.seconds for share in RELOADS]
    swaps = [place * seen.seconds / SWAPS for place in range(1, SWAPS)]
    while (now := time.monotonic() - began) < seen.seconds:
        if reloads and now >= reloads[0]:
            seen.reloads.append(reloads.pop(0))
            service.send(signal.SIGHUP)
        if swaps and now >= swaps[0]:
            seen.swaps.append(swaps.pop(0))
            save_model(model_file, 2.5 + len(swaps) % 4)
        seen.samples += samples(service, now)
        time.sleep(SAMPLE_SECONDS)


def samples(service: Service, second: float) -> list[Sample]:
    """What the main process and its workers take now."""
    found = []
    for pid in (service.pid, *service.workers()):
        folder = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
            memory = int((folder / "status").read_text().split("RssAnon:")[1].split()[0]) * 1024
            files, threads = len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))
            role = "main process" if pid == service.pid else "worker"
            found.append(Sample(second, pid, role, memory, files, threads))
    return found


@contextlib.contextmanager
def _clients(service: Service, seen: Soak) -> Generator[None]:
    done, lock = threading.Event(), threading.Lock()
    threads = [
        threading.Thread(target=_client, args=(service, seen, random.Random(seed), done, lock))
        for seed in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _client(
    service: Service, seen: Soak, chance: random.Random, done: threading.Event, lock: threading.Lock
) -> None:
    """Asks for this and that on a connection that it keeps for a while; now and then another one leaves."""
    connection = service.connection()
    while not done.is_set():
        if chance.random() < 0.05:
            _leave(service, chance)
            with lock:
                seen.left += 1
        kind = chance.choices([*REQUESTS], weights=[20, 10, 10, 10, 10, 1, 1, 5])[0]
        outcome = _ask(connection, kind)
        with lock:
            if outcome == "answered":
                seen.answered[kind] += 1
            elif outcome is not None:
                seen.lost[f"{kind}: {outcome}"] += 1
        if outcome != "answered" or chance.random() < 0.1:
            connection.close()
    connection.close()


def _ask(connection: http.client.HTTPConnection, kind: str) -> str | None:
    """What became of a request; None if a kept connection ended just before it."""
    path, body, status = REQUESTS[kind]
    used = connection.sock is not None
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        return None if used and isinstance(error, ConnectionError) else repr(error)
    return "answered" if response.status == status else f"{response.status}: {content[:200]!r}"


def _leave(service: Service, chance: random.Random) -> None:
    """Half of a request, and no farewell or a quick one."""
    content = chance.choice([request(GOOD), request(MANY), chunked(GOOD), chunked(MANY)])
    wire = Wire(service)
    with contextlib.suppress(ConnectionError):
        wire.send(content[: len(content) // 2])
    chance.choice([wire.reset, wire.close])()


def draw(seen: Soak, path: Path) -> None:
    """Memory, files and threads of each process over time, with the reloads."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.5), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    labels = {"memory": "memory (RssAnon), MB", "files": "open files", "threads": "threads"}
    for panel, (what, label) in zip(panels, labels.items(), strict=True):
        colors = itertools.cycle(["#0072b2", "#d55e00"])
        for pid in dict.fromkeys(one.pid for one in seen.samples):
            mine = [one for one in seen.samples if one.pid == pid]
            values = [getattr(one, what) / (1e6 if what == "memory" else 1) for one in mine]
            color = "#000000" if mine[0].role == "main process" else next(colors)
            panel.plot([one.second / 60 for one in mine], values, linewidth=1, color=color)
        for second in seen.reloads:
            panel.axvline(second / 60, color="#bbbbbb", linestyle=":", linewidth=1)
        for second in seen.swaps:
            panel.plot(second / 60, 0, marker="|", color="#444444", clip_on=False)
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("minutes (dotted: SIGHUP; ticks: another model; black: the main process)")
    panels[0].set_title(
        f"{seen.answered.total():,} answers to mixed requests, {seen.lost.total()} lost", loc="left"
    )
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "soak.png")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = soak(Path(folder), arguments.minutes * 60)
    draw(seen, arguments.picture)
    growth = {f"{role} {pid}": grown for (role, pid), grown in seen.growth().items()}
    print(
        json.dumps(
            {"answered": seen.answered, "lost": seen.lost, "left": seen.left, "growth": growth}, indent=2
        )
    )
    return 1 if seen.lost else 0


if __name__ == "__main__":
    sys.exit(main())
