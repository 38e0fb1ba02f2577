"""Why a worker ended: the main process counts the deaths, since the dead count nothing.

A worker that ends by itself leaves its exit code behind; one that leaves nothing was killed. gunicorn does
not tell its hooks by which signal.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_FAREWELL = "ended-{}"
# Where the kernel counts what it has killed for want of memory: in this container, or else on the machine.
_OUT_OF_MEMORY = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)


def say_farewell(folder: Path, pid: int, code: int) -> None:
    """A worker ends by itself; `folder` is that of the metrics."""
    with contextlib.suppress(OSError):  # then it is taken for killed
        (folder / _FAREWELL.format(pid)).write_text(str(code))


class Deaths:
    """Tells why workers have ended; for the main process.

    counts   files with a line "oom_kill NUMBER"; the first that has one counts
    """

    def __init__(self, folder: Path, counts: tuple[Path, ...] = _OUT_OF_MEMORY) -> None:
        self._folder = folder
        self._counts = counts
        self._killed = self._out_of_memory()

    def reason(self, pid: int, *, timed_out: bool) -> str | None:
        """One of `metrics.DEATHS`; None if the worker ended as it was told to.

        timed_out   gunicorn has ended it, since it showed no sign of life for longer than its `timeout`
        """
        killed, self._killed = self._killed, self._out_of_memory()
        farewell = self._folder / _FAREWELL.format(pid)
        code = None
        with contextlib.suppress(FileNotFoundError):
            code = farewell.read_text()
            farewell.unlink()
        if timed_out:
            return "timeout"
        if code is not None:
            return None if code == "0" else "exit"
        return "out_of_memory" if self._killed > killed else "killed"

    def _out_of_memory(self) -> int:
        for path in self._counts:
            with contextlib.suppress(OSError):
                for line in path.read_text().splitlines():
                    name, _, number = line.partition(" ")
                    if name == "oom_kill":
                        return int(number)
        return 0
