"""The request log: one whole line of JSON per request, whatever the request holds and whoever reads."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skdeploy.config import WebSettings
from skdeploy.web.request_log import RequestLog
from skdeploy.web.trace_context import Identity
from tests.web.contexts import answered

TRACED = Identity("r1", "a" * 32, "b" * 16, 1)


class Pipe:
    """A pipe that a log writes into."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()

    def lines(self) -> list[dict[str, Any]]:
        """What has come since, parsed; AssertionError if it does not end with a line."""
        content = os.read(self.out, 1 << 20)
        assert content.endswith(b"\n")
        return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    for descriptor in (opened.out, opened.into):
        try:
            os.close(descriptor)
        except OSError:  # closed by the test
            continue


def environ(**more: str) -> dict[str, Any]:
    """A request's WSGI environment."""
    return {"REQUEST_METHOD": "POST", "PATH_INFO": "/predict", "REMOTE_ADDR": "127.0.0.1"} | more


def test_a_line_says_what_the_request_was(pipe: Pipe) -> None:
    """Who asked what, what came of it, and how long each part took; what is unknown is left out."""
    log = RequestLog(descriptor=pipe.into)
    context = answered(
        environ(HTTP_USER_AGENT="curl/8", QUERY_STRING="proba=true", CONTENT_LENGTH="30"),
        TRACED,
        seconds=0.0005,
        parse=0.0001,
        predict=0.0002,
        encode=0.00005,
        records=2,
        model="v1",
        key="backend",
        answer=b"x" * 40,
    )
    log.write(context)
    (line,) = pipe.lines()
    assert line.pop("time")[10:].count(":") == 2
    assert line == {
        "level": "info",
        "request_id": "r1",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "method": "POST",
        "route": "/predict",
        "path": "/predict",
        "status": 200,
        "ms": 0.5,
        "parse_ms": 0.1,
        "predict_ms": 0.2,
        "encode_ms": 0.05,
        "records": 2,
        "rejected": 0,
        "bytes_in": 30,
        "bytes_out": 40,
        "model": "v1",
        "key": "backend",
        "remote": "127.0.0.1",
        "agent": "curl/8",
    }


def test_what_is_not_known_is_left_out(pipe: Pipe) -> None:
    """A request outside of traces; from 500 on the level is error."""
    RequestLog(descriptor=pipe.into).write(answered(environ(), Identity("r"), status=500))
    (line,) = pipe.lines()
    assert list(line) == [
        "time",
        "level",
        "request_id",
        "method",
        "route",
        "path",
        "status",
        "ms",
        "bytes_out",
        "remote",
    ]
    assert line["level"] == "error"


@pytest.mark.parametrize(
    "evil", ['"\n{"status":200}', "a\r\nb", "\x00\x1b[31m", "\u2028", "\xff\xfe", "\\u000a"], ids=range(6)
)
def test_no_request_forges_a_line(pipe: Pipe, evil: str) -> None:
    """Ends of lines and control characters in path and headers stay in their fields, escaped."""
    log = RequestLog(descriptor=pipe.into)
    log.write(answered(environ(PATH_INFO="/" + evil, HTTP_USER_AGENT=evil), Identity("r"), status=404))
    content = os.read(pipe.out, 1 << 20)
    assert content.count(b"\n") == 1
    assert all(byte >= 0x20 for byte in content[:-1])
    assert json.loads(content)["status"] == 404


@pytest.mark.parametrize("filler", ["\x00", "\xff", "x", "\xf0\x9f\x98\x80", '"'], ids=range(5))
def test_a_line_is_shorter_than_what_a_pipe_takes_whole(pipe: Pipe, filler: str) -> None:
    """4096 bytes, however long and odd path, method and agent are."""
    long = filler * 10_000
    RequestLog(descriptor=pipe.into).write(
        answered(
            environ(PATH_INFO=long, HTTP_USER_AGENT=long, REQUEST_METHOD="X" * 999, REMOTE_ADDR="1" * 999),
            Identity("i" * 128, "a" * 32, "b" * 16, 1),
            status=404,
            seconds=1e6,
            parse=1.0,
            key="k" * 64,
            model="m" * 64,
        ),
    )
    assert len(os.read(pipe.out, 1 << 20)) <= 4096


def test_no_value_of_a_record_is_logged(pipe: Pipe) -> None:
    """Neither of the body nor of the answer."""
    context = answered(environ(), TRACED, body=b'{"size":"geheim"}', answer=b'{"got":"geheim"}')
    RequestLog(descriptor=pipe.into).write(context)
    assert b"geheim" not in os.read(pipe.out, 1 << 20)


def test_the_settings_decide() -> None:
    """SKDEPLOY_ACCESS_LOG=1 makes a log."""
    assert RequestLog.from_settings(WebSettings()) is None
    assert RequestLog.from_settings(WebSettings.from_env({"SKDEPLOY_ACCESS_LOG": "1"})) is not None


def test_a_closed_pipe_loses_lines_and_nothing_else(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised; one warning for all that is lost in a row."""
    os.close(pipe.out)
    log = RequestLog(descriptor=pipe.into)
    for _ in range(3):
        log.write(answered(environ(), TRACED))
    assert [record.message for record in caplog.records] == ["Lines of the request log are lost: Broken pipe"]


def test_a_full_disk_loses_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """/dev/full takes nothing."""
    with Path("/dev/full").open("wb") as full, caplog.at_level(logging.WARNING):
        RequestLog(descriptor=full.fileno()).write(answered(environ(), TRACED))
    assert "No space left" in caplog.text


def test_a_reader_that_is_behind_is_not_waited_for(pipe: Pipe) -> None:
    """A pipe that is full takes no more lines; when it is read again, whole lines follow."""
    log = RequestLog(descriptor=pipe.into)
    for _ in range(2000):
        log.write(answered(environ(), TRACED))
    held = pipe.lines()
    assert 100 < len(held) < 2000
    log.write(answered(environ(), TRACED, status=204))
    assert [line["status"] for line in pipe.lines()] == [204]


def test_threads_lines_do_not_mix(pipe: Pipe) -> None:
    """Eight threads write at once: every line is whole."""
    log = RequestLog(descriptor=pipe.into)

    def write() -> None:
        for _ in range(20):
            log.write(answered(environ(), TRACED))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pipe.lines()) == 160
