"""Request contexts, for what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skdeploy.web.context import RequestContext, WsgiContext
from skdeploy.web.trace_context import Identity


def asked(environ: Mapping[str, Any]) -> RequestContext:
    """The context of a request with this WSGI environment."""
    return WsgiContext({"REQUEST_METHOD": "POST", "PATH_INFO": "/predict", **environ})


def answered(
    environ: Mapping[str, Any], identity: Identity, *, status: int = 200, seconds: float = 0.001, **known: Any
) -> RequestContext:
    """The same of a request that is over, of which so much is known."""
    context = asked(environ)
    for name, value in {"identity": identity, "status": status, "seconds": seconds, **known}.items():
        setattr(context, name, value)
    return context
