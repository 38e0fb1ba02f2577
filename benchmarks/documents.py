"""A results.json: what a run found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Document = dict[str, Any]


def read(path: Path) -> Document:
    """The document of a run."""
    document: Document = json.loads(path.read_text())
    return document


def write(document: Document, path: Path) -> None:
    """Keep it, legible in a diff."""
    path.write_text(json.dumps(document, indent=1) + "\n")


def merged(old: Document, new: Document) -> Document:
    """What `new` measured in place of the same in `old`, and the rest of `old`.

    Each server, and each other part, names the run that it is from; runs of which nothing is left go.
    """
    document = {**old, **new, "servers": {**old["servers"], **new["servers"]}}
    parts = [part for name, part in document.items() if name not in ("runs", "servers")]
    left = {part["run"] for part in (*parts, *document["servers"].values())}
    document["runs"] = {run: at for run, at in {**old["runs"], **new["runs"]}.items() if run in left}
    return document
