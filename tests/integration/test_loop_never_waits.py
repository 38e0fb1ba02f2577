"""/health is answered at once, whatever the worker is asked meanwhile: the loop never waits."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skdeploy.source.cache import Cache, Record
from tests.live import ROOT, Service, served
from tests.wire import GOOD, RECORD, Wire, head, request

MEGABYTES = 10 * 1024 * 1024
# On a quiet machine it takes less than 100 ms; tests run beside others.
BOUND = 0.4


def filled(part: bytes, size: int) -> bytes:
    """A list of as many parts as fit into so many bytes."""
    return b"[" + b",".join([part] * ((size - 2) // (len(part) + 1))) + b"]"


BODIES: dict[str, tuple[bytes, int]] = {
    "5,300 empty records in 16 KB": (filled(b"{}", 16_000), 422),
    "10 MB of empty lists": (filled(b"[]", MEGABYTES), 413),
    "10 MB of nulls": (filled(b"null", MEGABYTES), 413),
    "10 MB nested": (b"[" * (MEGABYTES // 2), 400),
    "10 MB of one record's unknown keys": (
        json.dumps(RECORD | {f"k{number}": 1 for number in range(700_000)}).encode(),
        422,
    ),
    "10 MB of one text": (json.dumps(RECORD | {"dest": "x" * (MEGABYTES - 400)}).encode(), 200),
    "10 MB of good records": (filled(GOOD, MEGABYTES), 413),
    "10,000 good records": (b"[" + b",".join([GOOD] * 10_000) + b"]", 200),
    "10,000 records, the last one bad": (b"[" + b",".join([GOOD] * 9_999 + [b"{}"]) + b"]", 422),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker."""
    with served(tmp_path_factory.mktemp("loop"), WEB_CONCURRENCY="1", SKDEPLOY_MAX_WAITING="0") as running:
        yield running


@contextlib.contextmanager
def crowd(service: Service, content: bytes, clients: int) -> Iterator[list[int]]:
    """Clients that post the content again and again while the block runs; the statuses of their answers."""
    statuses: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            with contextlib.closing(Wire(service, seconds=120)) as wire:
                statuses.append(wire.ask(content).status)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()


def times_of_health(service: Service, seconds: float) -> list[float]:
    """Seconds that GET /health took, asked again and again on one connection."""
    times = []
    end = time.monotonic() + seconds
    with contextlib.closing(Wire(service)) as wire:
        while time.monotonic() < end:
            began = time.monotonic()
            assert wire.ask(head(method="GET", path="/health", kind=None)).status == 200
            times.append(time.monotonic() - began)
            time.sleep(0.01)
    return times


@pytest.mark.heavy
@pytest.mark.robustness("load", "16 clients at once, and /health beside them")
@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES.keys())
def test_health_is_answered_beside_the_worst_bodies(
    service: Service, body: bytes, status: int, fact: Callable[..., None]
) -> None:
    """16 clients send it all the time; the median of /health is below 100 ms, and none takes long."""
    with crowd(service, request(body), 16) as statuses:
        times = times_of_health(service, 4.0)
    assert set(statuses) <= {status, 503}
    assert status in statuses
    assert sorted(times)[len(times) // 2] < 0.1
    assert sorted(times)[int(len(times) * 0.95)] < BOUND
    fact(f"/health within {max(times) * 1000:.0f} ms", len(statuses), 0)


def test_health_is_answered_while_a_registry_is_silent(tmp_path: Path) -> None:
    """POST /admin/reload asks a store that accepts and never answers: /health does not wait for it."""
    content = (ROOT / "model.bin").read_bytes()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        record = Record(
            address=f"s3://bucket/m.bin at {endpoint}",
            digest=hashlib.sha256(content).hexdigest(),
            where="s3://bucket/m.bin",
            name="m",
            version=None,
            fetched="2026-11-30T00:00:00+00:00",
            verified=True,
        )
        cache = Cache(tmp_path / "cache")
        cache.make()
        cache.put(record, content)
        settings = {
            "SKDEPLOY_MODEL_URI": "s3://bucket/m.bin",
            "SKDEPLOY_MODEL_CACHE": str(tmp_path / "cache"),
            "SKDEPLOY_ADMIN_TOKEN": "a-token",
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "y",
            "AWS_REGION": "us-east-1",
            "WEB_CONCURRENCY": "1",
        }
        with served(tmp_path, **settings) as service, contextlib.closing(Wire(service)) as asking:
            asking.send(head("Authorization: Bearer a-token", "Content-Length: 0", path="/admin/reload"))
            times = times_of_health(service, 1.0)
            assert max(times) < BOUND
            assert asking.answer().status == 502
