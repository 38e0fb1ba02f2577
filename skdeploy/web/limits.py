"""Requests that come faster than they can be answered: who is told to come back, and when."""

from __future__ import annotations

from skdeploy.web.exchange import Exchange
from skdeploy.web.problems import HttpProblem

# Whoever asks whether the service lives must be told so, whatever else there is to do.
PROBES = frozenset({"/health", "/ready", "/metrics"})
RETRY_AFTER = [("Retry-After", "1")]


def overloaded(exchange: Exchange) -> HttpProblem:
    """The answer to a request that is not taken up."""
    if exchange.shed:
        detail = "As many requests wait as may (MAX_WAITING). Come back later, with fewer at a time."
        return HttpProblem(503, "overloaded", "Overloaded", detail, RETRY_AFTER)
    return too_late()


def too_late() -> HttpProblem:
    """The answer to a request that waited too long."""
    detail = "The request waited longer than it may (REQUEST_TIMEOUT). Come back later."
    return HttpProblem(503, "timed-out", "Timed out", detail, RETRY_AFTER)
