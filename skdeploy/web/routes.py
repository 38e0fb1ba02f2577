"""The service's routes, each said once: what it is to API keys, probes, traces, threads and metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    path      as Flask writes it, with parameters such as <name>; metrics and the log call the route by it
    open      no API key is asked for
    probe     machines ask every few seconds whether the service lives: they are told so whatever else waits
    traced    its requests are spans
    loop      the event loop answers it where it can; everything else runs in a thread
    """

    path: str
    methods: tuple[str, ...] = ("GET", "HEAD")
    open: bool = False
    probe: bool = False
    traced: bool = True
    loop: bool = False


PREDICT = Route("/predict", ("POST",), loop=True)
HEALTH = Route("/health", open=True, probe=True, traced=False, loop=True)
READY = Route("/ready", open=True, probe=True, traced=False, loop=True)
METRICS = Route("/metrics", probe=True, traced=False)
INDEX = Route("/")
DOCUMENT = Route("/openapi.json")
DOCS = Route("/docs")
STATIC = Route("/static/<name>")
# It asks for SKDEPLOY_ADMIN_TOKEN itself.
RELOAD = Route("/admin/reload", ("POST",), open=True)
ROUTES = (PREDICT, HEALTH, READY, METRICS, INDEX, DOCUMENT, DOCS, STATIC, RELOAD)
# What callers invent, and what an application adds of its own: else each path would be a series for ever.
OTHER = Route("(other)", ())

_FIXED = {route.path: route for route in ROUTES if "<" not in route.path}
_PATTERNS = [
    (re.compile(re.sub(r"<\w+>", "[^/]+", route.path)), route) for route in ROUTES if "<" in route.path
]
# By the target of a request line that is one of them, byte by byte: most are.
BY_TARGET = {path.encode(): route for path, route in _FIXED.items()}


def route_of(path: str) -> Route:
    """The route that a decoded path leads to; OTHER if there is none."""
    route = _FIXED.get(path)
    if route is not None:
        return route
    return next((route for pattern, route in _PATTERNS if pattern.fullmatch(path)), OTHER)


def add(app: Flask, route: Route) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function answer a route of the application."""
    return app.route(route.path, methods=route.methods)
