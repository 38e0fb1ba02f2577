"""A fitted pipeline without a passport -> the schema that its fitted parts still show."""

from __future__ import annotations

from typing import Any

from skdeploy.errors import UnreadableModel
from skdeploy.passport.walk import Reader, dict_categories, first_step, readers_of
from skdeploy.schema import Column, Schema, is_null


def derive(pipeline: Any) -> tuple[Schema, list[str]]:
    """The schema, and notes on what could not be known.

    Raises UnreadableModel if not even the number of columns can be found.
    """
    first = first_step(pipeline)
    if hasattr(first, "feature_names_") and hasattr(first, "separator"):
        return _from_dict_vectorizer(first)
    names = getattr(pipeline, "feature_names_in_", None)
    if names is not None:
        return _from_names(pipeline, [str(name) for name in names])
    if hasattr(first, "build_analyzer"):
        column = Column(name="text", type="str", dtype="object", example="text")
        return Schema(container="texts", columns=[column]), []
    width = getattr(pipeline, "n_features_in_", None)
    if width is None:
        raise UnreadableModel(
            "The pipeline has no passport and does not show which columns it takes: "
            "save it with skdeploy.save(pipeline, X, y, path)."
        )
    columns = [_number(f"x{index}") for index in range(width)]
    note = "The pipeline was fitted without column names: they are x0, x1, ..."
    return Schema(container="array", columns=columns), [note, _assumed(columns)]


def _from_names(pipeline: Any, names: list[str]) -> tuple[Schema, list[str]]:
    readers = readers_of(pipeline, names)
    columns = [_read_column(name, readers.get(name)) for name in names]
    assumed = [column for column in columns if column.name not in readers]
    return Schema(container="frame", columns=columns), [_assumed(assumed)] if assumed else []


def _read_column(name: str, reader: Reader | None) -> Column:
    if reader is None:
        return _number(name)
    learned = reader.learned(name)
    if learned is None:
        return Column(name=name, type="str", dtype="object", example="text")
    known = [value for value in learned if not is_null(value)]
    kind, dtype = _type_of(known)
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


def _assumed(columns: list[Column]) -> str:
    names = ", ".join(column.name for column in columns[:20]) + (", ..." if len(columns) > 20 else "")
    return f"No encoder tells the type of {names}: taken as number."


def _from_dict_vectorizer(vectorizer: Any) -> tuple[Schema, list[str]]:
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
    return Schema(container="dicts", columns=columns), [
        "Which keys a record may lack cannot be known: all must be present."
    ]
