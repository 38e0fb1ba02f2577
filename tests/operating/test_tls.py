"""TLS by gunicorn itself, as web-service/README.md says."""

from __future__ import annotations

import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.live import free_port, started, wait_until

REQUEST = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")


def _answer(url: str, trusted: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5, context=trusted) as response:
            return int(response.status)
    except urllib.error.URLError:
        return 0


def test_https_is_answered_with_the_certificate_that_was_given(tmp_path: Path) -> None:
    """With --certfile and --keyfile the service answers a client that trusts the certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate))
    subprocess.run([*REQUEST, *names], check=True, capture_output=True)
    port = free_port()
    arguments = f"--certfile {certificate} --keyfile {key}"
    trusted = ssl.create_default_context(cafile=str(certificate))
    with started(tmp_path, PORT=str(port), WORKERS="1", GUNICORN_CMD_ARGS=arguments):
        wait_until(lambda: _answer(f"https://127.0.0.1:{port}/ready", trusted) == 200, "https answers", 60)
