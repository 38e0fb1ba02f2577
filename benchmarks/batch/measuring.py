"""A process that runs to its end: how long it took, and how much memory it had at most."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc
from benchmarks.processes import BenchmarkError

_ROOT = Path(__file__).parents[2]
_LOOK_SECONDS = 0.02
_MOST_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process was.

    seconds   from its start to its end
    peak      the most that it and its children had resident, MB (10**6 bytes), each at its own time
    said      the last line of its standard output
    """

    seconds: float
    peak: float
    said: str


def measure(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Measured:
    """Run a command to its end; BenchmarkError with its log's end if that is not 0."""
    output, peaks = log.with_suffix(".out"), dict[int, float]()
    with output.open("wb") as out, log.open("wb") as err:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=out, stderr=err)
        try:
            while process.poll() is None:
                _note_peaks(process.pid, peaks)
                if time.monotonic() > began + _MOST_SECONDS:
                    raise BenchmarkError(f"{' '.join(command)} took more than {_MOST_SECONDS} seconds")
                time.sleep(_LOOK_SECONDS)
            seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {process.returncode}:\n{_end_of(log, output)}")
    said = output.read_text().strip().splitlines() or [""]
    return Measured(seconds, sum(peaks.values()), said[-1])


def _note_peaks(pid: int, peaks: dict[int, float]) -> None:
    """The kernel keeps the highest mark of each process (VmHWM), so that looking now and then is enough."""
    for member in proc.tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peaks[member] = int(line.split()[1]) * 1024 / 1e6


def _end_of(*files: Path) -> str:
    return "\n".join(file.read_text(errors="replace")[-2000:] for file in files)
