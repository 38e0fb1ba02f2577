"""The ledger: a document per interval, which names the files that count.

    {"format": 1, "job": "flights", "interval": "2013-11-05", "kind": "daily", "start": ..., "end": ...,
     "generation": 1, "run": ..., "swept": true, "current": "0123456789abcdef",
     "models": {"0123456789abcdef": {
         "status": "completed", "sha256": ..., "name": ..., "version": ..., "scored_at": ...,
         "rows": {"read": 1000, "predicted": 999, "rejected": 1}, "error": null,
         "parts": {"predictions": [{"name": ..., "rows": 999, "bytes": ..., "sha256": ...}],
                   "rejects": [...]}}}}

`current` is the model that scored the interval last; its parts are what `predictions_current` is in a
database. A part's name is its path below SKDEPLOY_OUTPUT_URL. All is replaced in one step, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from skdeploy.batch.chunks import Counts, Entry, Task
from skdeploy.batch.intervals import Interval

FORMAT = 1
DIGEST_DIGITS = 16
PREDICTIONS, REJECTS = "predictions", "rejects"


class Part(NamedTuple):
    """A file: its path below SKDEPLOY_OUTPUT_URL, what it holds, and the SHA-256 of it."""

    name: str
    rows: int
    bytes: int
    sha256: str


Parts = Mapping[str, tuple[Part, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What one model made of an interval: `status` is "completed" or "failed"."""

    status: str
    sha256: str
    name: str
    version: str
    counts: Counts
    scored_at: datetime
    error: str | None
    parts: Parts

    @classmethod
    def of(cls, task: Task, status: str, counts: Counts, parts: Parts, error: str | None = None) -> Scoring:
        """A task's, as of now."""
        return cls(
            status=status,
            sha256=task.digest,
            name=task.model_name,
            version=task.model_version,
            counts=replace(counts),
            scored_at=datetime.now(UTC).replace(microsecond=0),
            error=error,
            parts=parts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An interval's document.

    generation   how often the interval was completed
    run          of whoever wrote it, so that who has lost the answer to a write knows it again
    swept        whether no files of earlier generations are left
    current      the start of the digest of the model that counts
    models       by the starts of their digests
    """

    job: str
    interval: Interval
    label: str
    generation: int
    run: str
    swept: bool
    current: str | None
    models: Mapping[str, Scoring]

    @classmethod
    def empty(cls, task: Task) -> Manifest:
        """What an interval has that was never scored."""
        return cls(
            job=task.job,
            interval=task.interval,
            label=task.interval.label,
            generation=0,
            run="",
            swept=True,
            current=None,
            models={},
        )

    def completed(self, scoring: Scoring, run: str) -> Manifest:
        """With a model's predictions, which now count; of failures nothing is left."""
        digest = scoring.sha256[:DIGEST_DIGITS]
        others = {key: old for key, old in self.models.items() if old.status == "completed"}
        return replace(
            self,
            generation=self.generation + 1,
            run=run,
            current=digest,
            models=others | {digest: scoring},
        )

    def failed(self, scoring: Scoring, run: str) -> Manifest:
        """With a model's failure."""
        return replace(self, run=run, models={**self.models, scoring.sha256[:DIGEST_DIGITS]: scoring})

    def parts(self) -> set[str]:
        """The names of all files that count."""
        return {
            part.name
            for scoring in self.models.values()
            for parts in scoring.parts.values()
            for part in parts
        }

    def entry(self) -> Entry | None:
        """What the ledger says: the current model's entry, else the latest."""
        if not self.models:
            return None
        latest = max(self.models.values(), key=lambda scoring: scoring.scored_at)
        chosen = self.models[self.current] if self.current else latest
        return Entry(
            interval=self.interval,
            status=chosen.status,
            digest=chosen.sha256,
            counts=chosen.counts,
            scored_at=chosen.scored_at,
            error=chosen.error,
        )

    def to_bytes(self) -> bytes:
        """The document."""
        interval = self.interval
        document = {
            "format": FORMAT,
            "job": self.job,
            "interval": self.label,
            "kind": interval.kind,
            "start": interval.start.isoformat(),
            "end": interval.end.isoformat(),
            "generation": self.generation,
            "run": self.run,
            "swept": self.swept,
            "current": self.current,
            "models": {digest: _written(scoring) for digest, scoring in self.models.items()},
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """What `to_bytes` wrote. Raises ValueError if it is something else."""
        document = json.loads(content)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"it is no manifest of format {FORMAT}")
        try:
            start, end = (_moment(document[name]) for name in ("start", "end"))
            return cls(
                job=document["job"],
                interval=Interval(start, end, document["kind"]),
                label=document["interval"],
                generation=document["generation"],
                run=document["run"],
                swept=document["swept"],
                current=document["current"],
                models={digest: _read(scoring) for digest, scoring in document["models"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no manifest ({error})") from None


def _written(scoring: Scoring) -> dict[str, Any]:
    return {
        "status": scoring.status,
        "sha256": scoring.sha256,
        "name": scoring.name,
        "version": scoring.version,
        "scored_at": scoring.scored_at.isoformat(),
        "rows": asdict(scoring.counts),
        "error": scoring.error,
        "parts": {kind: [part._asdict() for part in parts] for kind, parts in scoring.parts.items()},
    }


def _read(document: Mapping[str, Any]) -> Scoring:
    return Scoring(
        status=document["status"],
        sha256=document["sha256"],
        name=document["name"],
        version=document["version"],
        counts=Counts(**document["rows"]),
        scored_at=_moment(document["scored_at"]),
        error=document["error"],
        parts={kind: tuple(Part(**part) for part in parts) for kind, parts in document["parts"].items()},
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
