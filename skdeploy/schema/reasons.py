"""A bad cell's reason in one word, for who counts them."""

from __future__ import annotations

from skdeploy.errors import BadCell

REASONS = ("missing", "null", "unknown_column", "category", "range", "type")
_BY_END = {
    "(not seen in training)": "category",
    "(out of range)": "range",
    "(more digits than a double holds)": "range",
}


def reason_of(cell: BadCell) -> str:
    """One of REASONS; what a cell is, `skdeploy.schema.records` and `cells` say in words."""
    if cell.expected == "no such column in this model":
        return "unknown_column"
    if cell.got == "null":
        return "null"
    if cell.got.startswith("nothing: "):
        return "missing"
    return next((reason for end, reason in _BY_END.items() if cell.got.endswith(end)), "type")
