"""The log on standard error: lines of text, or with SKDEPLOY_LOG_FORMAT=json an object per line."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from gunicorn.glogging import Logger

__all__ = ["JsonFormatter", "JsonLogger", "Logger", "configure"]

_TEXT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
_DATE = "%Y-%m-%d %H:%M:%S %z"


class JsonFormatter(logging.Formatter):
    """time (RFC 3339, UTC), level, logger, pid, message; the traceback, if there is one, as `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{stamp}.{int(record.created * 1000) % 1000:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line)


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines, as JSON: its `logger_class`."""

    def setup(self, cfg: Any) -> None:
        """At the start and whenever the configuration is read again."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())


def configure(level: str, style: str) -> None:
    """Let everything from `level` on be written to standard error.

    style   "text" or "json"
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(_TEXT, _DATE))
    logging.basicConfig(level=level.upper(), handlers=[handler])
