"""Apache Spark on this machine: a standalone master and its workers, from the pip package."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from examples.servers.process import LogSays, Process, ServerNotInstalled, free_ports

_VENV = Path(__file__).resolve().parents[2] / ".venv-spark"
_DEPLOY = "org.apache.spark.deploy"
# A JVM that lives for a minute starts with two thirds of the work.
_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_SUBMIT = {
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": _SHORT_LIVED,
    "spark.executor.extraJavaOptions": _SHORT_LIVED,
    "spark.executor.memory": "600m",
}


@dataclass(frozen=True)
class Cluster:
    """A master and workers that run; each process can be stopped, killed and started again.

    url           of the master, for `spark-submit --master` or SKDEPLOY_SPARK_MASTER
    python        of drivers and executors alike
    spark_submit  the program
    environment   all variables that a driver on this machine needs
    folder        with the logs
    """

    url: str
    python: Path
    spark_submit: Path
    environment: Mapping[str, str]
    master: Process
    workers: Sequence[Process]
    folder: Path


@contextlib.contextmanager
def spark_cluster(folder: Path, workers: int = 2, cores: int = 1, memory: str = "1g") -> Iterator[Cluster]:
    """A cluster whose logs, and whose executors' logs, are in `folder`; ended in the end.

    cores, memory   of each worker, for executors

    Raises ServerError.
    """
    home = _home()
    folder.mkdir(parents=True, exist_ok=True)
    environment = _environment(home)
    port, status_port = free_ports(2)
    url = f"spark://127.0.0.1:{port}"
    master = _daemon(
        *("Spark's master", folder / "master.log", environment),
        *(f"{_DEPLOY}.master.Master", "--port", f"{port}", "--webui-port", f"{status_port}"),
        says="I have been elected leader",
    )
    started = [
        _daemon(
            *(f"Spark's worker {number}", folder / f"worker-{number}.log", environment),
            *(f"{_DEPLOY}.worker.Worker", "--webui-port", "0", "--cores", f"{cores}", "--memory", memory),
            *("--work-dir", str(folder / "executors"), url),
            says="Successfully registered with master",
        )
        for number in range(1, workers + 1)
    ]
    with contextlib.ExitStack() as stack:
        stack.callback(master.stop)
        master.start()
        for worker in started:
            stack.callback(worker.stop)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda worker: worker.start(), started))
        python = _VENV / "bin" / "python"
        options = [f"--conf={name}={value}" for name, value in _SUBMIT.items()]
        submit = {"PYSPARK_SUBMIT_ARGS": shlex.join([*options, "pyspark-shell"])}
        driver = {**environment, "SKDEPLOY_SPARK_MASTER": url, **submit}
        yield Cluster(url, python, home / "bin" / "spark-submit", driver, master, started, folder)


def _daemon(name: str, log_file: Path, environment: Mapping[str, str], *arguments: str, says: str) -> Process:
    home = Path(environment["SPARK_HOME"])
    main, *options = arguments
    command = [str(home / "bin" / "spark-class"), main, "--host", "127.0.0.1", *options]
    return Process(name, command, environment, log_file, LogSays(log_file, says))


def _environment(home: Path) -> dict[str, str]:
    inherited = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "TMPDIR", "JAVA_HOME", "LANG", "TZ")
        if name in os.environ
    }
    python = str(_VENV / "bin" / "python")
    return {
        **inherited,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": f"{_SHORT_LIVED} -Dspark.master.rest.enabled=false",
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
    }


def _home() -> Path:
    """Where the package is."""
    found = sorted(_VENV.glob("lib/python3*/site-packages/pyspark"))
    if not found:
        raise ServerNotInstalled("Apache Spark is not installed: run make .venv-spark/done")
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        raise ServerNotInstalled("Java is not installed: run apt-get install openjdk-17-jre-headless")
    return found[0]
