"""Jobs in processes that are forked after the imports, and killed when a test says so.

A command line of its own takes seconds, most of them for imports: whoever kills fifty would mostly kill
those. Run as a program, this module reads what to do from standard input, a line of JSON per job; it has
imported all that a job needs, started no thread and loaded no model when it forks.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

_ROOT = Path(__file__).resolve().parents[2]


_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class Died:
    """How a forked job ended: its exit code, or the signal with a minus; the CPU time that it had."""

    code: int
    seconds: float
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """What it said in the end, if it came to that."""
        lines = self.stdout.strip().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}


class Forks:
    """The program's other end."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def run(
        self, arguments: Sequence[str], environ: Mapping[str, str], kill_after: float | None = None
    ) -> Died:
        """Run the command line; kill it after some seconds of CPU time: a busy machine has no say in it."""
        return self._run([{"arguments": arguments, "environ": dict(environ), "kill_after": kill_after}])[0]

    def together(self, lines: Sequence[Sequence[str]], environ: Mapping[str, str]) -> list[Died]:
        """Run several command lines, all begun at once."""
        return self._run([{"arguments": line, "environ": dict(environ)} for line in lines])

    def _run(self, tasks: Sequence[dict[str, Any]]) -> list[Died]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = [{name: f"{self._folder / name}_{place}" for name in _STREAMS} for place in range(len(tasks))]
        whole = [task | own for task, own in zip(tasks, files, strict=True)]
        print(json.dumps(whole), file=self._process.stdin, flush=True)
        said = json.loads(self._process.stdout.readline())
        texts = [{name: Path(path).read_text() for name, path in own.items()} for own in files]
        return [
            Died(code, seconds, own["stdout"], own["stderr"])
            for (code, seconds), own in zip(said, texts, strict=True)
        ]


@contextlib.contextmanager
def forks(folder: Path, environ: Mapping[str, str]) -> Iterator[Forks]:
    """The program, started with this environment; it ends with the context."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.batch.forking"],
        cwd=_ROOT,
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Forks(process, folder)
        assert process.stdin is not None
        process.stdin.close()


def _serve() -> None:
    for line in sys.stdin:
        tasks = json.loads(line)
        children = [_forked(task) for task in tasks]
        ended = [_ended(child, task.get("kill_after")) for child, task in zip(children, tasks, strict=True)]
        print(json.dumps(ended), flush=True)


def _forked(task: Mapping[str, Any]) -> int:
    child = os.fork()
    if not child:
        _score(task)
    return child


def _score(task: Mapping[str, Any]) -> NoReturn:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(task[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(task["environ"])
    sys.argv = ["score.py", *task["arguments"]]
    code = 70
    try:
        runpy.run_module("batch.score", run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 70
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int, kill_after: float | None) -> tuple[int, float]:
    """The exit code, and the CPU time as it was last seen."""
    # Linux's name for the clock that counts another process's CPU time.
    clock = (~child << 3) | 2
    while True:
        seconds = time.clock_gettime(clock)
        is_due = kill_after is not None and seconds >= kill_after
        if is_due:
            os.kill(child, signal.SIGKILL)
        done, status = os.waitpid(child, 0 if is_due else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), seconds
        time.sleep(0.001)


if __name__ == "__main__":
    import pandas as pd  # noqa: F401
    import psycopg  # noqa: F401
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401
    import sklearn.compose
    import sklearn.impute
    import sklearn.linear_model
    import sklearn.preprocessing  # noqa: F401
    import sqlalchemy.dialects.postgresql
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import skdeploy.batch.command
    import skdeploy.batch.databases.postgres_input
    import skdeploy.batch.databases.sql_output  # noqa: F401

    gc.freeze()
    _serve()
