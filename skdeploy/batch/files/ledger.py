"""Manifests in a storage: found, replaced on the condition that nobody else did, and swept after.

A file's name ends with the generation that it was written for, above the first one. So who has read a
manifest may, at any time and without a lock, delete files of its generation and earlier ones that it
does not name: whoever writes the next generation gives its files other names.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote

from skdeploy.batch.chunks import Entry, Task
from skdeploy.batch.files.manifest import DIGEST_DIGITS, PREDICTIONS, REJECTS, Manifest, Part, Scoring
from skdeploy.batch.files.storage import Conflict, Storage
from skdeploy.errors import IntervalHeld, OutputError

_log = logging.getLogger(__name__)

_PART = re.compile(r"/part-\d{5,}-[0-9a-f]{12}(?:\.(\d+))?\.parquet$")
_READERS = 8
_ATTEMPTS = 10
# A label says the day on which its interval begins by some clock on earth.
_SLACK = timedelta(days=2)


class Read(NamedTuple):
    """A manifest, and the tag that must still be its own when it is replaced; None if there was none."""

    manifest: Manifest
    tag: str | None


class Ledger:
    """The manifests of a table: `table/job_name=.../interval=.../_manifest.json`."""

    def __init__(self, storage: Storage, table: str) -> None:
        self.storage = storage
        self._table = table

    def folder(self, job: str, label: str, kind: str = PREDICTIONS) -> str:
        """Where an interval's files are; ends with a slash."""
        table = self._table if kind == PREDICTIONS else f"{self._table}_{kind}"
        return f"{quote(table, safe='')}/job_name={quote(job, safe='')}/interval={quote(label, safe='+')}/"

    def part_folder(self, task: Task, kind: str) -> str:
        """Where a task's predictions or rejects are; ends with a slash."""
        return f"{self.folder(task.job, task.interval.label, kind)}model={task.digest[:DIGEST_DIGITS]}/"

    def lock(self, task: Task) -> str:
        """The file that is locked while an interval is written."""
        return f"{self.folder(task.job, task.interval.label)}_lock"

    def read(self, task: Task) -> Read:
        """A task's interval as it is now. Raises OutputError if that name is another interval's."""
        found = self._load(self.folder(task.job, task.interval.label))
        if found is None:
            return Read(Manifest.empty(task), None)
        there = found.manifest.interval
        if (there.start, there.end) != (task.interval.start, task.interval.end):
            raise OutputError(
                f"{self.storage.where}: the interval {task.interval.label} of the job {task.job} was "
                f"scored as [{there.start.isoformat()}, {there.end.isoformat()}), in another time zone: set "
                "SKDEPLOY_EVENT_TZ as it was, or name another SKDEPLOY_JOB."
            )
        return found

    def complete(self, task: Task, base: Manifest, scoring: Scoring, run: str) -> None:
        """Commit, if nobody has since `base`; then delete what no longer counts. Raises IntervalHeld."""
        for _ in range(_ATTEMPTS):
            found = self.read(task)
            if found.manifest.generation != base.generation:
                # This run's own files came after the other's look at what is left.
                self._sweep_now(found, anew=True)
                raise IntervalHeld(
                    f"Another run has completed {task.interval.label} in the meantime: what it wrote stands, "
                    "and nothing of this run does."
                )
            new = found.manifest.completed(scoring, run)
            new = replace(new, swept=not self._unnamed(new))
            tag = self._replace(found, new)
            if tag is not None:
                self._sweep_now(Read(new, tag))
                return
        raise IntervalHeld(f"The manifest of {task.interval.label} is changed all the time by other runs.")

    def forget(self, task: Task, parts: Iterable[Part]) -> None:
        """Delete files of a run that failed, but for those that count."""
        named = self.read(task).manifest.parts()
        for part in parts:
            if part.name not in named:
                self.storage.remove(part.name)

    def fail(self, task: Task, scoring: Scoring, run: str) -> None:
        """Note a failure, unless the interval is completed."""
        for _ in range(_ATTEMPTS):
            found = self.read(task)
            if found.manifest.current or self._replace(found, found.manifest.failed(scoring, run)):
                return

    def entries(self, job: str, start: datetime, end: datetime) -> Iterator[Entry]:
        """Of the intervals that start in [start, end)."""
        days = (start.date() - _SLACK, end.date() + _SLACK)
        labels = [label for label in self._labels(job) if _may_start(label, *days)]
        with ThreadPoolExecutor(_READERS) as pool:
            for manifest in pool.map(lambda label: self._swept(job, label), labels):
                entry = manifest and manifest.entry()
                if entry and start <= entry.interval.start < end:
                    yield entry

    def last(self, job: str) -> Entry | None:
        """Of the latest interval that is completed."""
        best: Entry | None = None
        for label in sorted(self._labels(job), key=lambda label: _day(label) or date.max, reverse=True):
            if best and not _may_start(label, best.interval.start.date() - _SLACK, date.max):
                break
            manifest = self._swept(job, label)
            entry = manifest and manifest.entry()
            if entry and entry.status == "completed" and (not best or entry.interval > best.interval):
                best = entry
        return best

    def _labels(self, job: str) -> Iterable[str]:
        above = self.folder(job, "").removesuffix("interval=/")
        for name in self.storage.folders(above):
            if name.startswith("interval="):
                yield unquote(name.removeprefix("interval="))

    def _swept(self, job: str, label: str) -> Manifest | None:
        """The manifest; what a run that died after its commit had left to delete is deleted."""
        found = self._load(self.folder(job, label))
        if found is None:
            return None
        self._sweep_now(found)
        return found.manifest

    def _load(self, folder: str) -> Read | None:
        name = f"{folder}_manifest.json"
        found = self.storage.read(name)
        if found is None:
            return None
        try:
            return Read(Manifest.from_bytes(found[0]), found[1])
        except ValueError as error:
            raise OutputError(
                f"{self.storage.where}{name} cannot be read: {error}. Another version of skdeploy may have "
                "written it, or something else did."
            ) from None

    def _replace(self, old: Read, new: Manifest) -> str | None:
        """The new tag; None if another run was first."""
        name = f"{self.folder(new.job, new.label)}_manifest.json"
        content = new.to_bytes()
        try:
            return self.storage.replace(name, content, old.tag)
        except Conflict:
            # A request that is sent again because its answer was lost conflicts with itself.
            found = self.storage.read(name)
            return found[1] if found and found[0] == content else None

    def _unnamed(self, manifest: Manifest) -> list[str]:
        """Files of this generation, and earlier ones, that the manifest does not name."""
        named = manifest.parts()
        return [
            file.name
            for kind in (PREDICTIONS, REJECTS)
            for file in self.storage.files(self.folder(manifest.job, manifest.label, kind))
            if (part := _PART.search(file.name))
            and int(part[1] or 1) <= manifest.generation
            and file.name not in named
        ]

    def _sweep_now(self, found: Read, *, anew: bool = False) -> None:
        """Delete what no longer counts, if anything is left; what cannot be deleted is left to others."""
        if found.manifest.swept and not anew:
            return
        try:
            self._sweep(found)
        except OutputError as error:
            _log.warning("Files of %s that no longer count are left: %s", found.manifest.label, error)

    def _sweep(self, found: Read) -> None:
        for name in self._unnamed(found.manifest):
            self.storage.remove(name)
        if found.manifest.swept:
            return
        if self._replace(found, replace(found.manifest, swept=True)) is None:
            _log.debug("Another run has changed the manifest of %s", found.manifest.label)


def _may_start(label: str, first: date, last: date) -> bool:
    """Whether an interval with this label may start on one of these days."""
    day = _day(label)
    return day is None or first <= day <= last


def _day(label: str) -> date | None:
    """The day on which an interval with this label begins, if the label says it."""
    match = re.match(r"(\d{4})-(?:W(\d\d)|(\d\d)(?:-(\d\d))?)", label)
    if match is None:
        return None
    with contextlib.suppress(ValueError):
        if match[2]:
            return date.fromisocalendar(int(match[1]), int(match[2]), 1)
        return date(int(match[1]), int(match[3]), int(match[4] or 1))
    return None
