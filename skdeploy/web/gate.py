"""What every request passes, whichever way it goes: its name, its permission, its line and its spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skdeploy.settings import Settings
from skdeploy.web.access import OPEN_PATHS, KeyRing, refusal
from skdeploy.web.exchange import Exchange
from skdeploy.web.headers import Cors
from skdeploy.web.request_log import RequestLog
from skdeploy.web.trace_context import Identity, identify

if TYPE_CHECKING:
    from skdeploy.web.spans import Spans

Answer = tuple[int, list[tuple[str, str]], bytes]


class Gate:
    """API keys, CORS, the request log and spans, as far as they are on.

    identify   what a request is called: the first thing to ask of it
    watching   whether `record` does anything
    """

    def __init__(
        self,
        *,
        ring: KeyRing | None = None,
        cors: Cors | None = None,
        log: RequestLog | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._ring, self._cors, self._log, self._spans = ring, cors, log, spans
        self.identify = identify if spans is None else spans.identify
        self.watching = log is not None or spans is not None

    @classmethod
    def from_settings(cls, settings: Settings, spans: Spans | None = None) -> Gate:
        """As the settings say. Raises SettingsError if API_KEYS_FILE cannot be used."""
        return cls(
            ring=KeyRing.from_settings(settings),
            cors=Cors.from_settings(settings),
            log=RequestLog.from_settings(settings),
            spans=spans,
        )

    def admit(self, environ: Mapping[str, Any]) -> tuple[str | None, Answer | None]:
        """The API key's name, and what to answer in place of the application, if anything.

        environ   the WSGI environment
        """
        if self._cors is not None:
            permission = self._cors.preflight(environ)
            if permission is not None:
                return None, (204, permission, b"")
        if self._ring is None or environ["PATH_INFO"] in OPEN_PATHS:
            return None, None
        name = self._ring.name_of(environ)
        return name, refusal() if name is None else None

    def headers(self, environ: Mapping[str, Any], identity: Identity) -> list[tuple[str, str]]:
        """What every answer has besides its own headers; a preflight's answer has those of CORS already."""
        given = identity.headers()
        if self._cors is not None and self._cors.preflight(environ) is None:
            given += self._cors.headers(environ)
        return given

    def record(self, environ: Mapping[str, Any], exchange: Exchange) -> None:
        """Write the line and make the spans of a request that has its answer."""
        if self._spans is not None:
            self._spans.record(environ, exchange)
        if self._log is not None:
            self._log.write(environ, exchange)

    def end(self) -> None:
        """Before the process ends: send the last spans, for two seconds at most."""
        if self._spans is not None:
            self._spans.end()
