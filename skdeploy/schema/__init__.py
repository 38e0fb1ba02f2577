"""What a record must look like, and the way from JSON to checked columns.

    column.py      Column, Schema: names, types, nullability, categories
    cells.py       one value against one column
    plain.py       a strict JSON parser that hides nothing
    fast.py        a compiled decoder for what plainly fits (msgspec)
    pieces.py      long lists of records, cut into short ones
    each.py        the same for many bodies with a record in each
    table.py       checked records by column
    checking.py    records that are mappings, one by one; bad cells described
    checked.py     Checked, what reading comes to
    records.py     the reader: fast accept, slow explain -> Checked
    explainer.py   the reader for long bodies: a process of its own explains them
    explaining.py  that process
    messages.py    what the two tell each other
    document.py    the schema as JSON Schema

This package imports neither pandas nor scikit-learn.
"""

from skdeploy.schema.checked import Checked
from skdeploy.schema.column import Column, Schema
from skdeploy.schema.document import json_schema
from skdeploy.schema.explainer import LONG, Explainer
from skdeploy.schema.plain import parse_json
from skdeploy.schema.records import MOST_DESCRIBED, RecordReader
from skdeploy.schema.table import Coded, Table, as_list

__all__ = [
    "LONG",
    "MOST_DESCRIBED",
    "Checked",
    "Coded",
    "Column",
    "Explainer",
    "RecordReader",
    "Schema",
    "Table",
    "as_list",
    "json_schema",
    "parse_json",
]
