"""What is known of one request while it is answered: for the metrics, the log and the spans."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from skdeploy.errors import BadCell
from skdeploy.web.trace_context import Identity

# Where a request's exchange is in its WSGI environment.
EXCHANGE = "skdeploy.exchange"


class Exchange:
    """One request and what became of it, filled in as it goes on.

    began      time.monotonic() of its arrival, before it waited for a thread
    waited     seconds from then until it was taken up
    shed       it came when the worker held as many as it may
    parse, predict, encode   seconds; None where it did not come to that
    records    of the body; None if it was none
    predicted, rejected, unscorable   what became of them
    bad        the bad cells
    model      the version of the model that answers
    body       what was sent

    Known when it is over:

    identity   what it is called
    route      the path, if it is one that there is
    key        the name of its API key
    status     of its answer
    seconds    from its arrival to its answer
    answer     what was answered
    """

    __slots__ = (
        "answer", "bad", "began", "body", "encode", "identity", "key", "model", "parse", "predict",
        "predicted", "records", "rejected", "route", "seconds", "shed", "status", "unscorable", "waited",
    )  # fmt: skip

    identity: Identity

    def __init__(self, environ: dict[str, Any]) -> None:
        now = time.monotonic()
        # gunicorn's loop tells by the socket what happened before a thread was there.
        sock = environ.get("gunicorn.socket")
        self.began: float = getattr(sock, "queued", 0.0) or now
        self.waited = now - self.began
        self.shed: bool = getattr(sock, "shed", False)
        if self.waited:
            sock.queued = 0.0  # type: ignore[union-attr]  # of this request, not of the next one
        self.parse: float | None = None
        self.predict: float | None = None
        self.encode: float | None = None
        self.records: int | None = None
        self.predicted = self.rejected = self.unscorable = 0
        self.bad: Iterable[BadCell] = ()
        self.model: str | None = None
        self.body: bytes | None = None
        self.route: str | None = None
        self.key: str | None = None
        self.status = 0
        self.seconds = 0.0
        self.answer = b""
        environ[EXCHANGE] = self

    @property
    def refused(self) -> int | None:
        """How many records were rejected; None where there were none to reject."""
        return None if self.records is None else self.rejected
