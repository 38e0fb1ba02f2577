"""A fitted pipeline without a passport -> the schema that its fitted parts still show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skdeploy.errors import UnreadableModel, listed
from skdeploy.passport.walk import Reader, dict_categories, first_step, readers_behind_functions, readers_of
from skdeploy.schema import Column, Container, Null, Schema, is_null


class Derived(NamedTuple):
    """What the fitted parts show.

    assumed   columns that are taken for numbers because no encoder reads them
    notes     on what could not be known
    """

    schema: Schema
    assumed: list[str]
    notes: list[str]


def derive(pipeline: Any) -> Derived:
    """The schema of a fitted pipeline.

    Raises UnreadableModel if not even the number of columns can be found.
    """
    first = first_step(pipeline)
    if hasattr(first, "feature_names_") and hasattr(first, "separator"):
        return _from_dict_vectorizer(first)
    names = getattr(pipeline, "feature_names_in_", None)
    width = getattr(pipeline, "n_features_in_", None)
    if names is None and width == 0:
        names, width = _of_catboost(first)
    if names is not None:
        return _from_names(pipeline, [str(name) for name in names])
    if hasattr(first, "build_analyzer"):
        column = Column(name="text", type="str", dtype="object", example="text")
        return Derived(Schema(container="texts", columns=[column]), [], [])
    if width is None:
        raise UnreadableModel(
            "The pipeline has no passport and does not show which columns it takes: "
            "save it with skdeploy.save(pipeline, X, y, path)."
        )
    columns = [_number(f"x{index}") for index in range(width)]
    note = "The pipeline was fitted without column names: they are x0, x1, ..."
    return _derived("array", columns, [column.name for column in columns], [note])


def _of_catboost(model: Any) -> tuple[list[str] | None, int | None]:
    """Names and number of the features, which a pickled CatBoost has under a name of its own alone."""
    features = list(getattr(model, "feature_names_", []))
    named = features != [str(place) for place in range(len(features))]
    return features if named else None, len(features) or None


def _derived(container: Container, columns: list[Column], assumed: list[str], notes: list[str]) -> Derived:
    if assumed:
        few = listed(assumed)
        notes = [
            *notes,
            f"No encoder tells the type of {few}: taken as number, of which 1 and 0 are true and false.",
        ]
    return Derived(Schema(container=container, columns=columns), assumed, notes)


def _from_names(pipeline: Any, names: list[str]) -> Derived:
    readers, behind = readers_of(pipeline, names), readers_behind_functions(pipeline, names)
    known = {name: _read_column(name, reader) for name, reader in readers.items()}
    for name, reader in behind.items():
        if name not in known and (column := _explained(name, reader)) is not None:
            known[name] = column
    columns = [known.get(name) or _number(name) for name in names]
    return _derived("frame", columns, [name for name in names if name not in known], [])


def _explained(name: str, reader: Reader) -> Column | None:
    """The column of the type that explains what an encoder behind functions learned, if one does.

    A function that turned 1 into the text "1" makes "1.0" of 1.0, and of the two only 1 is what was learned.
    """
    learned = reader.learned(name)
    if not learned:
        return None
    for kind, dtype, read in _TYPES:
        try:
            cells = [read(value) for value in learned]
            made = _through(reader, name, cells, dtype)
        except Exception:  # noqa: S112 - a function of somebody's own may raise anything
            continue
        known = [cell for cell in cells if not is_null(cell)]
        same = all(a == b or (is_null(a) and is_null(b)) for a, b in zip(made, learned, strict=True))
        if known and same:
            null: Null = next((null for text, null in _NULLS if text in learned), "nan")
            return Column(name=name, type=kind, dtype=dtype, null=null, categories=known, example=known[0])
    return None


def _through(reader: Reader, name: str, cells: list[Any], dtype: str) -> list[Any]:
    """What the functions before the encoder make of the cells of a column; the others' cells are the same."""
    made: Any = pd.DataFrame({other: pd.Series(cells, dtype=dtype) for other in reader.names})
    for function in reader.before:
        made = function.transform(made)
    column: list[Any] = np.asarray(made)[:, reader.names.index(name)].tolist()
    return column


# The types that a column may have had, and how a category becomes a cell; those that explain less come first.
_TYPES: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("int", "int64", int),
    ("float", "float64", float),
    ("bool", "bool", {"True": True, "False": False, True: True, False: False}.__getitem__),
    ("str", "object", str),
]
# How nulls are written by what makes a text of them.
_NULLS: list[tuple[str, Null]] = [("None", "none"), ("<NA>", "NA"), ("nan", "nan")]


def _read_column(name: str, reader: Reader) -> Column:
    learned = reader.learned(name)
    if learned is None:
        return Column(name=name, type="str", dtype="object", example="text")
    known = [value for value in learned if not is_null(value)]
    kind, dtype = _type_of(known)
    if kind == "float" and reader.dtype(name) in ("float16", "float32"):
        dtype = reader.dtype(name) or dtype  # else 0.1 would be another number than the encoder's
    return Column(
        name=name,
        type=kind,
        dtype=dtype,
        null="none" if None in learned else "nan",
        categories=known,
        example=known[0] if known else None,
    )


def _type_of(known: list[Any]) -> tuple[str, str]:
    if known and all(isinstance(value, bool) for value in known):
        return "bool", "bool"
    if known and all(isinstance(value, int) for value in known):
        return "int", "int64"
    if known and all(isinstance(value, (int, float)) for value in known):
        return "float", "float64"
    return "str", "object"


def _number(name: str) -> Column:
    return Column(name=name, type="float", dtype="float64", example=0.0)


def _from_dict_vectorizer(vectorizer: Any) -> Derived:
    columns = [
        Column(
            name=name,
            type="str" if known else "float",
            dtype="object",
            null="none",
            categories=known or None,
            example=known[0] if known else 0.0,
        )
        for name, known in dict_categories(vectorizer).items()
    ]
    note = "Which keys a record may lack cannot be known: all must be present."
    return Derived(Schema(container="dicts", columns=columns), [], [note])
