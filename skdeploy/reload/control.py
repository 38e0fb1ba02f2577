"""What the web door shows of the source poller and the workers, and how it asks for a poll."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skdeploy.config import WebSettings
from skdeploy.reload.published import Poll, PublishedState
from skdeploy.source import Source, resolve


def follows_source(settings: WebSettings) -> bool:
    """Whether the service needs a source poller: every SKDEPLOY_WATCH_SECONDS, or for POST /admin/reload."""
    return bool(settings.watch_seconds or settings.admin_token)


class Control:
    """What the web door knows of its source poller."""

    def __init__(self, source: Source, state: PublishedState) -> None:
        self._source = source
        self._state = state

    @classmethod
    def from_settings(cls, settings: WebSettings) -> Control | None:
        """None if the service does not follow its source: gunicorn's configuration file names the folder."""
        if not (settings.state_dir and follows_source(settings)):
            return None
        return cls(Source.from_settings(settings), PublishedState(Path(settings.state_dir)))

    def status(self) -> dict[str, Any]:
        """The last poll and what each worker serves, ready for JSON."""
        return {"reload": self._state.last_poll(), "workers": self._state.workers()}

    def last_poll(self) -> Poll | None:
        """The outcome of the last poll; None before the first."""
        return self._state.last_poll()

    def reload(self) -> dict[str, Any]:
        """Request a poll now; what the source names at the moment. Raises SourceError or OSError."""
        target = resolve(self._source)
        self._state.request_poll()
        return {"where": target.where, "version": target.version, "sha256": target.digest}
