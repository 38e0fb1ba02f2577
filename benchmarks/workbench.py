"""A server on a model, started, checked and loaded; everything it needs lies in one folder for a while."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from benchmarks import load, proc, venvs
from benchmarks.processes import (
    BenchmarkError,
    Command,
    neutral_environment,
    post,
    started,
    wait_for_answer,
)
from benchmarks.protocols import MANY, Record, bodies, body, numbers
from benchmarks.servers import PEERS, ROOT, Server
from examples.servers.process import free_ports

# Answers may differ in the last digits that another way of adding leaves.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Cpus:
    """The server's core, and that of everything else."""

    server: int
    load: int

    @classmethod
    def reserve(cls) -> Cpus:
        """The first two that this process may use; it keeps to the second itself from now on."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            raise BenchmarkError("two cores are needed: one for the server, one for the load")
        os.sched_setaffinity(0, {usable[1]})
        return cls(usable[0], usable[1])


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, records of it, and what the pipeline predicts for them.

    mlflow_model, exported   where MLflow's form of it and the exported one are, once a server asks for them
    """

    model: Path
    records: list[Record]
    expected: list[float]
    mlflow_model: Path
    exported: Path

    @property
    def many(self) -> int:
        """Records of a large request."""
        return min(MANY, len(self.records))

    @classmethod
    def of(cls, model: Path, records: list[Record], folder: Path) -> Workload:
        """The workload of a pickled pipeline; `folder` is for what is made of it."""
        expected = joblib.load(model).predict(pd.DataFrame(records)).tolist()
        mlflow_model, exported = folder / f"mlflow-{model.stem}", folder / f"{model.stem}.skdeploy"
        return cls(model, records, expected, mlflow_model, exported)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answered correctly, `start` seconds after it was started.

    bodies   records per request -> a file with a body in each line
    """

    server: Server
    pid: int
    port: int
    start: float
    bodies: dict[int, Path]
    cpus: Cpus
    log: Path

    def load(self, records: int, connections: int, seconds: int) -> load.Load:
        """The load that requests of so many records make."""
        url = f"http://127.0.0.1:{self.port}{self.server.path}"
        file = self.bodies[records]
        return load.measure(
            url,
            file,
            connections=connections,
            seconds=seconds,
            cpu=self.cpus.load,
            spent=lambda: proc.cpu_seconds(self.pid),
        )

    def memory(self) -> float:
        """MB of the server's processes."""
        return proc.memory(self.pid)

    def private_memory(self) -> list[float]:
        """MB of each process that the server started, the greatest last."""
        return sorted(map(proc.private_memory, proc.tree(self.pid)[1:]))


@contextlib.contextmanager
def running(server: Server, workload: Workload, folder: Path, cpus: Cpus) -> Generator[Running]:
    """The server, answering what the pipeline predicts, on loopback alone. BenchmarkError if not."""
    if "{mlflow_model}" in server.command:
        _write_mlflow_model(workload, folder)
    if "{exported}" in server.environment.values():
        _write_exported(workload, folder)
    files = dict(_write_bodies(server, workload, folder))
    [port], log = free_ports(1), folder / f"{server.key}.log"
    with started(_command(server, workload, port, folder, log), cpus.server) as process:
        try:
            start = wait_for_answer(process, log, port, server.path, _first_body(files[1]))
            up = Running(server, process.pid, port, start, files, cpus, log)
            _require_right_answers(up, workload)
        except (BenchmarkError, OSError, ValueError) as error:
            raise BenchmarkError(f"{server.label}: {error}") from error
        yield up


def _command(server: Server, workload: Workload, port: int, folder: Path, log: Path) -> Command:
    binaries = venvs.python(server.venv).parent
    values = {
        "bin": binaries,
        "port": port,
        "spare_port": free_ports(1)[0],
        "model": workload.model,
        "mlflow_model": workload.mlflow_model,
        "exported": workload.exported,
    }
    environment = neutral_environment(folder)
    environment |= {"MODEL": str(workload.model), "PORT": str(port)}
    environment |= {name: value.format(**values) for name, value in server.environment.items()}
    environment["PATH"] = f"{binaries}:{environment['PATH']}"
    arguments = [argument.format(**values) for argument in server.command]
    return Command(arguments, server.folder, environment, log)


def _write_bodies(server: Server, workload: Workload, folder: Path) -> Iterator[tuple[int, Path]]:
    for size in (1, workload.many):
        file = folder / f"{server.key}-{size}.jsonl"
        file.write_bytes(bodies(server.protocol, workload.records, size))
        yield size, file


def _first_body(file: Path) -> bytes:
    with file.open("rb") as lines:
        return lines.readline().rstrip()


def _write_exported(workload: Workload, folder: Path) -> None:
    if workload.exported.exists():
        return
    command = [sys.executable, "-m", "skdeploy", "export", str(workload.model), str(workload.exported)]
    done = subprocess.run(
        command, env=neutral_environment(folder), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"the model cannot be exported:\n{done.stderr[-2000:]}")


def _write_mlflow_model(workload: Workload, folder: Path) -> None:
    if workload.mlflow_model.exists():
        return
    records = folder / "mlflow-records.json"
    records.write_bytes(body("list", workload.records[: workload.many]))
    command = [venvs.python("mlflow"), PEERS / "mlflow" / "prepare.py"]
    command += [workload.model, records, workload.mlflow_model]
    done = subprocess.run(
        command, env=neutral_environment(folder), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"MLflow does not take the model:\n{done.stderr[-2000:]}")


def _require_right_answers(up: Running, workload: Workload) -> None:
    if strangers := proc.strangers(up.pid):
        raise BenchmarkError(f"listens on {strangers}, which is not loopback")
    for count, file in up.bodies.items():
        answer = post(up.port, up.server.path, _first_body(file))
        if up.server.kind != "floor":
            _require_equal(numbers(answer), workload.expected[:count])


def _require_equal(got: list[float], expected: list[float]) -> None:
    if len(got) != len(expected) or not np.allclose(got, expected, rtol=_TOLERANCE, atol=0):
        raise BenchmarkError(f"answers {got[:3]}... where the pipeline predicts {expected[:3]}...")


def in_process(workload: Workload, folder: Path, cpus: Cpus, seconds: int) -> float:
    """Records per second without a server, on the server's core."""
    file = folder / "in-process.json"
    file.write_bytes(body("skdeploy", workload.records[: workload.many]))
    command = ["taskset", "-c", str(cpus.server), str(venvs.python("skdeploy"))]
    command += ["-m", "benchmarks.inprocess", str(workload.model), str(file), str(seconds)]
    done = subprocess.run(
        command,
        env=neutral_environment(folder),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60 + seconds,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"decode, engine and encode without a server: {done.stderr[-2000:]}")
    return float(done.stdout) * workload.many
