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
