"""Requests that are over, for what writes them down."""

from __future__ import annotations

from typing import Any

from skdeploy.web.exchange import Exchange
from skdeploy.web.trace_context import Identity


def answered(identity: Identity, *, status: int = 200, seconds: float = 0.001, **known: Any) -> Exchange:
    """An exchange of which so much is known."""
    exchange = Exchange({})
    for name, value in {"identity": identity, "status": status, "seconds": seconds, **known}.items():
        setattr(exchange, name, value)
    return exchange
