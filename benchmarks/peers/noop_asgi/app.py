"""A no-op ASGI application: it reads the body and answers a constant, as long as a prediction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

_ANSWER = b'{"prediction":120.31465426961078,"model":{"name":"flight-air-time","version":"e64b23e37332"}}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())],
}
_BODY = {"type": "http.response.body", "body": _ANSWER}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer every request alike."""
    if scope["type"] != "http":
        raise NotImplementedError(f"{scope['type']} is not served")
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_BODY)
