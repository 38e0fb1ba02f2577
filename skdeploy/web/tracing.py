"""Spans of OpenTelemetry, if its variables ask for them and its SDK is installed; nothing otherwise.

The SDK's own variables count: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and
the others. Without one of those that `wanted` reads, the SDK is not even imported.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skdeploy.web.spans import Spans

_log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def wanted(environ: Mapping[str, str]) -> str | None:
    """Which exporter the variables ask for, "otlp" or "console"; None if they ask for none.

    What they ask for and we do not have is said in the log: they are often set for a whole cluster,
    and nothing to refuse a start for.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    asked = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not asked:
        asked = "otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none"
    if asked == "none":
        return None
    if asked not in ("otlp", "console"):
        _log.warning("No spans: OTEL_TRACES_EXPORTER=%r is not otlp, console or none.", asked)
        return None
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "http/protobuf")
    if asked == "otlp" and protocol != "http/protobuf":
        _log.warning(
            "No spans: they go by http/protobuf, not by %r. Set %s=http/protobuf, and the endpoint to the "
            "collector's port for it, usually 4318.",
            protocol,
            _PROTOCOLS[0],
        )
        return None
    return asked


def from_environ(environ: Mapping[str, str]) -> Spans | None:
    """What makes spans, as the variables say; None if they ask for none or the SDK is missing."""
    exporter = wanted(environ)
    if exporter is None:
        return None
    try:
        from skdeploy.web.spans import Spans

        return Spans(exporter)
    except ValueError as error:  # OTEL_PROPAGATORS names one that is not there
        _log.warning("No spans: %s", error)
        return None
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        _log.warning(
            "No spans: %s is not installed. Run pip install 'skdeploy[tracing]', "
            "or set OTEL_SDK_DISABLED=true.",
            error.name,
        )
        return None
