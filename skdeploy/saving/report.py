"""What `save` decided, for its caller to read, and what it is doing where that takes a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from skdeploy.passport import Passport
from skdeploy.schema import Column

# Columns that the table has; of wide models it would be a flood.
_MOST_COLUMNS = 100
# Seconds until the first line, and from one line to the next.
_PATIENCE, _INTERVAL = 1.0, 5.0


class Saved(Passport, frozen=True, kw_only=True):
    """The passport of a model that was saved, and what else was found out. `str()` is a table; neither it nor
    the `repr` holds a row of the training data.

    path        the file
    engine      the one that will serve with SKDEPLOY_ENGINE=auto: "onnx", the compiled pipeline, or "sklearn"
    fallback    why it is scikit-learn; None if it is not
    had_nulls   by column: whether the training data had a null
    notes       what is particular about the file
    """

    path: str
    engine: str
    fallback: str | None
    had_nulls: list[bool]
    notes: list[str]

    def __repr__(self) -> str:
        columns = len(self.schema.columns)
        return f"Saved({self.path}: {self.name} {self.version}, {columns} columns, engine {self.engine})"

    def __str__(self) -> str:
        columns, golden = self.schema.columns, len(self.golden.predictions)
        rows = [("column", "type", "null", "unknown category")]
        rows += [_row(*pair) for pair in zip(columns[:_MOST_COLUMNS], self.had_nulls, strict=False)]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        if len(columns) > _MOST_COLUMNS:
            table.append(f"... and {len(columns) - _MOST_COLUMNS:,} more columns")
        compiled = "compiled, and proved equal to scikit-learn"
        return "\n".join(
            [
                f"{self.path}: {self.name} {self.version}, columns: {len(columns):,}, golden records: "
                f"{golden}",
                *table,
                f"output: {self.output.words}",
                f"engine: {self.engine} ({self.fallback or compiled})",
                *self.notes,
            ]
        )


def _row(column: Column, had_nulls: bool) -> tuple[str, str, str, str]:
    seen = "training had some" if had_nulls else "training had none"
    if column.null == "absent":
        seen = "training lacked the key"
    null = f"{'accepted' if column.nullable else 'refused'}, {seen}"
    unknown = ""
    if column.categories is not None:
        unknown = (
            f"{'refused' if column.unknown == 'refuse' else 'accepted'}, {len(column.categories):,} known"
        )
    return column.name, column.type, null, unknown


class Progress:
    """The step that is being done; a thread says so on stderr, once all takes more than a second."""

    def __init__(self) -> None:
        self.step = "looking at X"
        self._done = threading.Event()

    def _say(self) -> None:
        begin, wait = time.monotonic(), _PATIENCE
        while not self._done.wait(wait):
            elapsed = time.monotonic() - begin
            print(f"skdeploy.save: {self.step} ({elapsed:.0f} s)", file=sys.stderr, flush=True)
            wait = _INTERVAL

    @classmethod
    @contextmanager
    def shown(cls, quiet: bool) -> Iterator[Progress]:
        """A progress that is told while the block runs."""
        progress = cls()
        teller = threading.Thread(target=progress._say, name="skdeploy-save", daemon=True)
        if not quiet:
            teller.start()
        try:
            yield progress
        finally:
            progress._done.set()
            if not quiet:
                teller.join()
