"""Events per second out of how an output topic grows: the same way for whoever writes it."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError
from benchmarks.stream.topics import Watched

# Until then a contestant starts, joins its group, and fills its queues.
_WARM_SHARE = 0.2
_LOOK_SECONDS = 0.01
_MOST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """Events per second, and the microseconds of CPU time that an event took, from the kernel's accounts."""

    rate: float
    cpu: float


def measure(process: subprocess.Popen[bytes], log: Path, watched: Watched, events: int) -> Measured:
    """From a fifth of the events on. BenchmarkError with the log's end if they do not come."""
    deadline = time.monotonic() + _MOST_SECONDS
    warm: tuple[int, float, float] | None = None
    while True:
        count, now = watched.count(), time.monotonic()
        if warm is None and count >= events * _WARM_SHARE:
            warm = count, now, _cpu_seconds(process.pid)
        if warm is not None and count >= events:
            done = count - warm[0]
            return Measured(done / (now - warm[1]), (_cpu_seconds(process.pid) - warm[2]) / done * 1e6)
        if process.poll() is not None or now > deadline:
            raise BenchmarkError(
                f"{count} of {events} events came out; the end of its log:\n{log.read_text()[-2000:]}"
            )
        time.sleep(_LOOK_SECONDS)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
