"""web-service/nginx.conf before a real service, with a real nginx."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.live import ROOT, free_port, served, wait_until

pytestmark = pytest.mark.heavy
CONFIGURATION = ROOT / "web-service" / "nginx.conf"


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    return False


@pytest.fixture(scope="module")
def proxy() -> Generator[str]:
    """The address of nginx before a service of one worker with four threads."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    with (
        tempfile.TemporaryDirectory() as temporary,
        served(folder := Path(temporary), WEB_CONCURRENCY="1", SKDEPLOY_THREADS="4") as service,
    ):
        folder.chmod(0o755)  # nginx started by root gives up its rights, and must still get in
        port = free_port()
        text = CONFIGURATION.read_text()
        for documented, actual in (
            ("127.0.0.1:9696", f"127.0.0.1:{service.port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{port}"),
            ("/tmp/", f"{folder}/"),
        ):
            assert documented in text
            text = text.replace(documented, actual)
        (folder / "nginx.conf").write_text(text)
        process = subprocess.Popen([nginx, "-p", folder, "-c", folder / "nginx.conf"])
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(f"{url}/ready"), "nginx passes /ready on")
            yield url
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)


def test_it_passes_requests_on(proxy: str) -> None:
    """The service's answers come through, problem documents as well."""
    page = json.load(urllib.request.urlopen(f"{proxy}/"))
    record = {name: column["examples"][0] for name, column in page["schema"]["properties"].items()}
    request = urllib.request.Request(f"{proxy}/predict", json.dumps(record).encode())
    request.add_header("Content-Type", "application/json")
    assert json.load(urllib.request.urlopen(request))["prediction"] > 0
    bad = urllib.request.Request(f"{proxy}/predict", b"{}")
    bad.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(bad)
    assert (caught.value.code, caught.value.headers["Content-Type"]) == (422, "application/problem+json")
    caught.value.close()


def test_slow_clients_stay_with_nginx(proxy: str) -> None:
    """32 half-sent requests, headers or bodies, hold none of the service's four threads."""
    host, port = proxy.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    with contextlib.ExitStack() as stack:
        for number in range(32):
            client = stack.enter_context(socket.create_connection((host, int(port))))
            client.sendall(head if number % 2 else head + b"\r\n{")
        begin = time.monotonic()
        assert _answers(f"{proxy}/ready")
        assert time.monotonic() - begin < 2


def test_the_limit_is_the_services_own(proxy: str) -> None:
    """A body above SKDEPLOY_MAX_BODY gets the service's problem document, not nginx's page."""
    request = urllib.request.Request(f"{proxy}/predict", b" " * (10 * 1024 * 1024 + 1))
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 413
    assert b"SKDEPLOY_MAX_BODY" in caught.value.read()
    caught.value.close()
