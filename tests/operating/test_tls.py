"""TLS by gunicorn itself, as web-service/README.md says."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import ROOT, Service, free_port, sockets_of, started, wait_until
from tests.wire import GOOD, head, request

REQUEST = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
MANY = request(b"[" + b",".join([GOOD] * 2000) + b"]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With key.pem and cert.pem."""
    path = tmp_path_factory.mktemp("tls")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path / "key.pem"))
    subprocess.run([*REQUEST, *names, "-out", str(path / "cert.pem")], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def trusted(folder: Path) -> ssl.SSLContext:
    """What a client needs that trusts the certificate."""
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


@contextlib.contextmanager
def served(folder: Path, trusted: ssl.SSLContext, **settings: str) -> Iterator[Service]:
    """One worker that speaks TLS, and gives a client two seconds."""
    options = f"--certfile {folder / 'cert.pem'} --keyfile {folder / 'key.pem'}"
    own = {
        "PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
        "SKDEPLOY_CLIENT_TIMEOUT": "2",
        "GUNICORN_CMD_ARGS": options,
    }
    with started(folder, **own, **settings) as service:
        wait_until(lambda: status(service, trusted, "/ready") == 200, service.log, 60)
        yield service


@pytest.fixture(scope="module")
def service(folder: Path, trusted: ssl.SSLContext) -> Iterator[Service]:
    with served(folder, trusted) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log()
        assert "ERROR" not in running.log()


def status(service: Service, trusted: ssl.SSLContext, path: str) -> int:
    """Of a GET on a connection of its own; 0 where nobody answers."""
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=5, context=trusted)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0


@contextlib.contextmanager
def secured(service: Service, trusted: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection whose handshake is done."""
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as plain,
        trusted.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        yield connection


def taken(connection: socket.socket) -> bytes:
    """All that comes until the service ends the connection."""
    return b"".join(iter(lambda: connection.recv(64 * 1024), b""))


def test_https_is_answered_with_the_certificate_that_was_given(
    service: Service, trusted: ssl.SSLContext
) -> None:
    """With --certfile and --keyfile the service answers a client that trusts the certificate."""
    assert status(service, trusted, "/ready") == 200


def test_the_readme_says_how() -> None:
    """The two options stand in the document."""
    text = (ROOT / "web-service" / "README.md").read_text()
    assert 'GUNICORN_CMD_ARGS="--certfile' in text


def test_requests_over_tls_may_be_pipelined_and_large(service: Service, trusted: ssl.SSLContext) -> None:
    """Answers come in the order of the requests, and the last one ends the connection."""
    last = head("Connection: close", method="GET", path="/health", kind=None)
    with secured(service, trusted) as connection:
        connection.sendall((MANY + request(GOOD)) * 10 + last)
        answers = taken(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 21
    assert answers.endswith(b'{"status":"ok"}')
    assert b"Strict-Transport-Security: " in answers


def test_plain_http_to_the_tls_port_harms_nobody(service: Service, trusted: ssl.SSLContext) -> None:
    """The connection ends without an answer, and others are served."""
    for content in (request(GOOD), b"\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as plain:
            plain.sendall(content)
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in taken(plain)
    assert status(service, trusted, "/health") == 200


def test_a_handshake_that_is_not_finished_ends_in_time(service: Service, trusted: ssl.SSLContext) -> None:
    """Clients without a handshake, or half of one, are closed after SKDEPLOY_CLIENT_TIMEOUT."""
    (worker,) = service.workers()
    wait_until(lambda: status(service, trusted, "/health") == 200, "it answers")
    free = len(sockets_of(worker))
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
            for _ in range(40)
        ]
        for client in clients[::2]:
            client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert status(service, trusted, "/health") == 200
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                taken(client)
    wait_until(lambda: len(sockets_of(worker)) <= free, "nothing is left")
    assert status(service, trusted, "/health") == 200


def test_an_idle_client_that_hears_no_end_is_cut_off(folder: Path, trusted: ssl.SSLContext) -> None:
    """A client that does not answer the farewell of TLS keeps neither its connection nor the service."""
    with served(folder, trusted, SKDEPLOY_KEEPALIVE="1") as service, secured(service, trusted) as connection:
        (worker,) = service.workers()
        connection.sendall(request(GOOD))
        assert connection.recv(64 * 1024).startswith(b"HTTP/1.1 200 OK")
        with secured(service, trusted):
            free = len(sockets_of(worker)) - 2
            wait_until(lambda: len(sockets_of(worker)) <= free, "both have ended", 15)
        with secured(service, trusted):
            assert service.stop() == 0


def test_sigterm_ends_a_service_whose_clients_are_in_a_handshake(
    folder: Path, trusted: ssl.SSLContext
) -> None:
    """They hold the process no longer than SKDEPLOY_CLIENT_TIMEOUT."""
    with (
        served(folder, trusted) as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as client,
    ):
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert status(service, trusted, "/health") == 200
        assert service.stop() == 0
        assert "cut off" not in service.log()


def test_a_wait_in_the_kernel_is_told(service: Service, trusted: ssl.SSLContext) -> None:
    """Over TLS as well, to a tick of the kernel: a worker that is stopped for a second reads nothing."""
    (worker,) = service.workers()
    with secured(service, trusted) as connection:
        connection.sendall(request(GOOD))
        assert connection.recv(64 * 1024)
        os.kill(worker, signal.SIGSTOP)
        connection.sendall(request(GOOD))
        time.sleep(1)
        os.kill(worker, signal.SIGCONT)
        assert connection.recv(64 * 1024)
        connection.sendall(head("Connection: close", method="GET", path="/metrics", kind=None))
        told = taken(connection).decode()
    longer = re.search(r'skdeploy_request_duration_seconds_bucket{le="0.82",route="/predict"} (.*)', told)
    every = re.search(r'skdeploy_request_duration_seconds_count{route="/predict"} (.*)', told)
    assert longer is not None
    assert every is not None
    assert float(longer[1]) < float(every[1])
