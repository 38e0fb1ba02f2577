"""The columns that a record must have, and the way from JSON to checked columns.

    column.py       Column, Schema: names, types, nullability, categories; as JSON Schema
    types.py        the types of columns, a class each: check, decode, describe, boundary values
    strict_json.py  a strict JSON parser that hides nothing; how messages show a value
    decoder.py      compiled decoders for what plainly fits (msgspec)
    table.py        checked records by column; Checked, what reading comes to
    reader.py       the reader: fast accept, slow explain -> Checked
    explainer.py    the reader for long bodies: a process of its own explains them
    explaining.py   that process

This package imports neither pandas nor scikit-learn.
"""

from skdeploy.schema.column import Column, Container, Null, Schema, json_schema
from skdeploy.schema.explainer import LONG, Explainer
from skdeploy.schema.reader import MOST_DESCRIBED, RecordReader
from skdeploy.schema.strict_json import EXACT_FLOAT, describe, is_null, parse_json
from skdeploy.schema.table import Checked, Coded, Table, as_list
from skdeploy.schema.types import TYPES, Check, Unfit, as_json, compile_check

__all__ = [
    "EXACT_FLOAT",
    "LONG",
    "MOST_DESCRIBED",
    "TYPES",
    "Check",
    "Checked",
    "Coded",
    "Column",
    "Container",
    "Explainer",
    "Null",
    "RecordReader",
    "Schema",
    "Table",
    "Unfit",
    "as_json",
    "as_list",
    "compile_check",
    "describe",
    "is_null",
    "json_schema",
    "parse_json",
]
