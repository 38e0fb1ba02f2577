"""API keys: the file, how a request brings one, and how the file changes under a running service."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skdeploy import api_keys
from skdeploy.config import WebSettings
from skdeploy.errors import SettingsError
from skdeploy.web import access
from skdeploy.web.access import KeyRing
from tests.command import command
from tests.web.contexts import asked

OLD, NEW = api_keys.new_key(), api_keys.new_key()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one key, OLD, of `backend`."""
    path = tmp_path / "api-keys"
    path.write_text("# who may ask\n\n" + api_keys.line_for("backend", OLD))
    path.chmod(0o640)
    return path


def sent(key: str, scheme: str = "X-API-Key") -> dict[str, Any]:
    """The environment of a request that brings a key."""
    if scheme == "X-API-Key":
        return {"HTTP_X_API_KEY": key}
    if scheme == "Basic":
        key = base64.b64encode(f"anyone:{key}".encode()).decode()
    return {"HTTP_AUTHORIZATION": f"{scheme} {key}"}


def replace(path: Path, content: str) -> None:
    """Another file in its place, as who rotates keys should do it."""
    other = path.with_name("other")
    other.write_text(content)
    other.chmod(0o640)
    other.replace(path)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def later(ring: KeyRing, clock: Clock, key: str) -> str | None:
    """What the ring says a second later."""
    clock.now += 1.0
    return ring.name_of(asked(sent(key)))


@pytest.mark.parametrize("scheme", ["X-API-Key", "Bearer", "bearer", "Basic", "BASIC"])
def test_a_key_comes_in_three_ways(file: Path, scheme: str) -> None:
    """As X-API-Key, as a Bearer token, or as the password of HTTP Basic."""
    scheme_of = "Basic" if scheme == "BASIC" else scheme
    environ = sent(OLD, scheme_of)
    if scheme == "BASIC":
        environ["HTTP_AUTHORIZATION"] = environ["HTTP_AUTHORIZATION"].replace("Basic", scheme)
    assert KeyRing(file).name_of(asked(environ)) == "backend"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        sent(""),
        sent(NEW),
        sent(OLD + "x"),
        sent(api_keys.digest_of(OLD).hex()),
        sent("\xff\udcff"),
        sent(OLD, "Digest"),
        {"HTTP_AUTHORIZATION": OLD},
        {"HTTP_AUTHORIZATION": "Basic"},
        {"HTTP_AUTHORIZATION": "Basic ???"},
        {"HTTP_AUTHORIZATION": "Basic \xff"},
        {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(OLD.encode()).decode()},
        sent(NEW) | sent(OLD, "Bearer"),
    ],
    ids=range(14),
)
def test_what_is_no_key_of_ours_is_refused(file: Path, environ: dict[str, Any]) -> None:
    """No key, another one, one that is written otherwise; X-API-Key counts if there are two."""
    assert KeyRing(file).name_of(asked(environ)) is None


def test_without_the_setting_there_is_no_ring() -> None:
    """An empty SKDEPLOY_API_KEYS_FILE asks for no key."""
    assert KeyRing.from_settings(WebSettings.from_env({})) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no key"),
        ("# nobody\n", "holds no key"),
        (f"backend {OLD}\n", "line 1 is not a name and a SHA-256"),
        (f"\n{OLD}\n", "line 2 is not a name and a SHA-256"),
        (f"b@d {'0' * 64}\n", "line 1 is not"),
        (f"a {'0' * 64}\nb {'0' * 64}\n", "line 2 repeats a key"),
    ],
    ids=range(6),
)
def test_a_broken_file_refuses_to_start(file: Path, content: str, message: str) -> None:
    """The message names the line, and does not show it: it may hold a key by mistake."""
    file.write_text(content)
    with pytest.raises(SettingsError, match=message) as raised:
        KeyRing.from_settings(WebSettings.from_env({"SKDEPLOY_API_KEYS_FILE": str(file)}))
    assert OLD not in str(raised.value)


def test_a_missing_file_refuses_to_start(tmp_path: Path) -> None:
    """The message names the variable and its value."""
    with pytest.raises(SettingsError, match=r"SKDEPLOY_API_KEYS_FILE='.*/none' cannot be read: No such file"):
        KeyRing(tmp_path / "none")


def test_keys_are_rotated_by_the_file(file: Path, clock: Clock) -> None:
    """Two keys of a name overlap; the old one is refused within a second of its line's end."""
    ring = KeyRing(file, clock)
    api_keys.append(file, api_keys.line_for("backend", NEW))
    assert later(ring, clock, NEW) == "backend"
    assert ring.name_of(asked(sent(OLD))) == "backend"
    replace(file, api_keys.line_for("other", NEW))
    assert later(ring, clock, OLD) is None
    assert ring.name_of(asked(sent(NEW))) == "other"


def test_the_file_is_looked_at_once_a_second(file: Path, clock: Clock) -> None:
    """Requests within the second do without a look at the disk."""
    ring = KeyRing(file, clock)
    assert ring.name_of(asked(sent(OLD))) == "backend"
    file.unlink()
    replace(file, api_keys.line_for("backend", NEW))
    assert ring.name_of(asked(sent(NEW))) is None
    assert later(ring, clock, NEW) == "backend"


@pytest.mark.parametrize(
    "content", ["", f"backend {NEW}", "\xff", None], ids=["empty", "key", "bytes", "gone"]
)
def test_a_broken_file_keeps_the_old_keys(
    file: Path, content: str | None, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """One ERROR says so, without the content; what is put right is taken."""
    ring = KeyRing(file, clock)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content.encode("latin-1"))
    for _ in range(3):
        assert later(ring, clock, OLD) == "backend"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert NEW not in caplog.text
    replace(file, api_keys.line_for("backend", NEW))
    assert later(ring, clock, NEW) == "backend"


def test_a_file_for_everybody_is_warned_about(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """chmod 644 is said, and no reason to refuse; no key is in the log or in a repr."""
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        ring = KeyRing(file)
    assert "mode 644" in caplog.text
    assert OLD not in repr(ring) + caplog.text


def test_the_refusal_is_a_problem_with_a_challenge_per_scheme() -> None:
    """401 with a header each for Basic, which a browser finds, and for Bearer."""
    status, headers, body = access.refusal()
    assert status == 401
    assert ("Content-Type", "application/problem+json") in headers
    schemes = [value.split()[0] for name, value in headers if name == "WWW-Authenticate"]
    assert schemes == ["Basic", "Bearer"]
    assert b"urn:skdeploy:problem:unauthorized" in body


def test_a_key_is_made_and_its_line_added(tmp_path: Path) -> None:
    """`key NAME --file` prints the key alone; the file gets its line, and is not for everybody."""
    path = tmp_path / "api-keys"
    path.write_text("# no end of line")
    keys = [command("key", name, "--file", str(path)).stdout.strip() for name in ("backend", "phone")]
    ring = KeyRing(path)
    assert [ring.name_of(asked(sent(key))) for key in keys] == ["backend", "phone"]
    assert command("key", "backend", "--file", str(tmp_path / "new")).exit_code == 0
    assert not (tmp_path / "new").stat().st_mode & 0o007
    refused = command("key", "b d")
    assert refused.exit_code == 2
    assert "'b d' cannot name a key" in refused.stderr


def test_standard_output_is_the_key_and_standard_error_the_line(tmp_path: Path) -> None:
    """Both can be piped to where they belong."""
    done = subprocess.run(
        [sys.executable, "-m", "skdeploy", "key", "backend"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
        cwd=Path(__file__).parent.parent.parent,
    )
    path = tmp_path / "api-keys"
    path.write_text(done.stderr)
    assert KeyRing(path).name_of(asked(sent(done.stdout.strip()))) == "backend"
