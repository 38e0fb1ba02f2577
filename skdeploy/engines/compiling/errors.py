"""Why a pipeline has no compiled form."""

from __future__ import annotations


class NotCompilable(Exception):
    """The pipeline cannot be compiled; `str(error)` is the reason."""
