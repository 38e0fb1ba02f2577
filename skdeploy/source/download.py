"""A file that is read from the network, bounded in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from skdeploy.errors import SourceUnreachable

# A download that brings less than so many bytes in so many seconds, or takes so many in all, is given up.
LEAST_BYTES, LEAST_SECONDS = 64 * 1024, 10.0
MOST_SECONDS = 300.0
_LOOK_SECONDS = 0.05


class Download:
    """Reads in a thread of its own, since a body that drips keeps a client's time-outs content for ever.

    where   for messages
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def read(self, chunks: Iterable[bytes]) -> bytes:
        """All of the chunks. Raises what they raise, or SourceUnreachable if they come too slowly."""
        received = bytearray()

        def read() -> None:
            for chunk in chunks:
                received.extend(chunk)

        self._watch(read, lambda: len(received))
        return bytes(received)

    def into(self, folder: Path, fetch: Callable[[], str]) -> bytes:
        """The file that `fetch` downloads into `folder`; it returns the path. Raises likewise."""
        path: list[str] = []

        def size() -> int:
            return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

        self._watch(lambda: path.append(fetch()), size)
        return Path(path[0]).read_bytes()

    def _watch(self, work: Callable[[], None], size: Callable[[], int]) -> None:
        failed: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True, name="download")
        began = since = time.monotonic()
        before = 0
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            now = time.monotonic()
            if now - began > MOST_SECONDS:
                raise self._too_slow(f"took more than {MOST_SECONDS:.0f} s")
            if now - since > LEAST_SECONDS:
                if (there := size()) - before < LEAST_BYTES and thread.is_alive():
                    raise self._too_slow(f"brought less than 64 KB in {LEAST_SECONDS:.0f} s")
                since, before = now, there
        if failed:
            raise failed[0]

    def _too_slow(self, how: str) -> SourceUnreachable:
        return SourceUnreachable(
            "download",
            f"The download of {self._where} {how}, and was given up.",
            "Look into the network and the store.",
        )
