"""The log on standard error, as JSON."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from skdeploy.web.logs import JsonFormatter


def formatted(message: str, *args: object, failed: bool = False) -> str:
    """A record of the logger `a.b`, as a line."""
    exc_info = None
    if failed:
        try:
            int("many")
        except ValueError:
            exc_info = sys.exc_info()
    return JsonFormatter().format(
        logging.LogRecord("a.b", logging.WARNING, "file.py", 1, message, args, exc_info)
    )


def test_a_line_is_an_object() -> None:
    """Time in UTC with milliseconds, level, logger, process and the message with its arguments."""
    line = json.loads(formatted("%s is %d", "x", 2))
    assert line["time"].endswith("Z")
    assert len(line["time"]) == len("2013-01-01T00:00:00.000Z")
    assert (line["level"], line["logger"], line["message"]) == ("warning", "a.b", "x is 2")
    assert line["pid"] > 0


@pytest.mark.parametrize("message", ["a\nb", 'a"b', "\x1b[0m", "\udcff\u2028"], ids=range(4))
def test_a_message_is_one_line(message: str) -> None:
    """Whatever it holds is escaped."""
    line = formatted(message)
    assert line.isprintable()
    assert json.loads(line)["message"] == message


def test_a_traceback_is_a_field() -> None:
    """Its lines do not break the log's."""
    line = formatted("It failed", failed=True)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("'many'")
