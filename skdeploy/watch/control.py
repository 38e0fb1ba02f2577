"""What the web door shows of the watcher and the workers, and how it asks for a look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skdeploy.settings import Settings
from skdeploy.source import Source, resolve
from skdeploy.watch.state import Look, State


def is_watched(settings: Settings) -> bool:
    """Whether a watcher is wanted: for looks every WATCH_SECONDS, or at POST /admin/reload."""
    return bool(settings.watch_seconds or settings.admin_token)


class Control:
    """A service's side of its watcher."""

    def __init__(self, source: Source, state: State) -> None:
        self._source = source
        self._state = state

    @classmethod
    def from_settings(cls, settings: Settings) -> Control | None:
        """None if nobody watches: gunicorn's configuration file names the folder."""
        if not (settings.state_dir and is_watched(settings)):
            return None
        return cls(Source.from_settings(settings), State(Path(settings.state_dir)))

    def status(self) -> dict[str, Any]:
        """The watcher's last look and what each worker serves, ready for JSON."""
        return {"watcher": self._state.last_look(), "workers": self._state.workers()}

    def last_look(self) -> Look | None:
        """How the watcher's last look went; None before the first."""
        return self._state.last_look()

    def reload(self) -> dict[str, Any]:
        """Ask for a look now; what the source names at the moment. Raises SourceError or OSError."""
        target = resolve(self._source)
        self._state.ask()
        return {"where": target.where, "version": target.version, "sha256": target.digest}
