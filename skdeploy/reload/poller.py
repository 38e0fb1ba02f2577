"""Polls a source for another model, and publishes it once it is proved."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from skdeploy.errors import SkdeployError, SourceUnreachable
from skdeploy.model.handover import Handover
from skdeploy.reload.published import Poll, PublishedState
from skdeploy.source import Source, Target, confirm, fetch, record_of, remember, resolve

_log = logging.getLogger(__name__)

# Seconds between checks whether a poll was requested, or the service has ended.
_NAP = 0.2


class SourcePoller:
    """Polls `source` every `interval` seconds (0: only on request).

    served   digest and registry version of the model that the service started with
    """

    def __init__(
        self,
        source: Source,
        state: PublishedState,
        *,
        engine: str,
        interval: float,
        served: tuple[str, str | None],
    ) -> None:
        self._source = source
        self._state = state
        self._engine = engine
        self._interval = interval
        self._served = served
        # The token of what is served, or of what was refused and why: neither is fetched again.
        self._seen: str | None = None
        self._refused: SkdeployError | None = None
        self._failure: str | None = None

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Poll until `goes_on` says False."""
        requested = self._state.requested()
        due = time.monotonic() + self._interval if self._interval else float("inf")
        while goes_on():
            last_request = self._state.requested()
            if last_request != requested:
                requested, self._seen = last_request, None
            elif time.monotonic() < due:
                time.sleep(_NAP)
                continue
            self.poll()
            due = time.monotonic() + self._interval if self._interval else float("inf")

    def poll(self) -> bool:
        """Whether another model was published. What goes wrong is logged, and the old one stays."""
        failure: str | None = None
        published = False
        try:
            published = self._poll()
        except SkdeployError as error:
            failure = str(error)
        except Exception as error:  # a library's or the disk's; the next poll may go well
            _log.exception("The source could not be polled")
            failure = f"{type(error).__name__} (the log says where)"
        if failure is not None and failure != self._failure:
            _log.error("The model stays as it is: %s", failure)
        elif failure is None and self._failure is not None:
            _log.info("The source gives models again")
        self._failure = failure
        self._note(failure)
        return published

    def _note(self, failure: str | None) -> None:
        poll = Poll(polled=datetime.now(UTC).isoformat(timespec="seconds"), failure=failure)
        try:
            self._state.note(poll)
        except OSError as error:  # a full disk: the next poll may be able to say so
            _log.warning("SKDEPLOY_STATE_DIR cannot be written: %s", error.strerror)

    def _poll(self) -> bool:
        target = resolve(self._source)
        if target.token == self._seen:
            if self._refused is not None:
                raise self._refused
            confirm(self._source)
            return False
        try:
            published = self._take(target)
        except SourceUnreachable:  # it may be there the next time
            raise
        except SkdeployError as error:
            self._seen, self._refused = target.token, error
            raise
        self._seen, self._refused = target.token, None
        return published

    def _take(self, target: Target) -> bool:
        fetched = fetch(self._source, target)
        if (fetched.digest, fetched.version) == self._served:
            confirm(self._source)
            return False
        handover, model = Handover.of(
            fetched.content,
            digest=fetched.digest,
            name=fetched.name,
            where=fetched.where,
            engine=self._engine,
            trusted=self._source.trusted,
        )
        self._state.publish(record_of(self._source, fetched), handover)
        remember(self._source, fetched)
        self._served = (fetched.digest, fetched.version)
        _log.info("Published %s %s from %s", model.passport.name, model.passport.version, fetched.where)
        return True
