"""A fitted pipeline without a passport -> the schema that its fitted parts still show."""

from __future__ import annotations

from typing import Any, NamedTuple

from skdeploy.errors import UnreadableModel, listed
from skdeploy.passport.walk import Reader, dict_categories, first_step, readers_of
from skdeploy.schema import Column, Container, Schema, is_null


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
    if names is not None:
        return _from_names(pipeline, [str(name) for name in names])
    if hasattr(first, "build_analyzer"):
        column = Column(name="text", type="str", dtype="object", example="text")
        return Derived(Schema(container="texts", columns=[column]), [], [])
    width = getattr(pipeline, "n_features_in_", None)
    if width is None:
        raise UnreadableModel(
            "The pipeline has no passport and does not show which columns it takes: "
            "save it with skdeploy.save(pipeline, X, y, path)."
        )
    columns = [_number(f"x{index}") for index in range(width)]
    note = "The pipeline was fitted without column names: they are x0, x1, ..."
    return _derived("array", columns, [column.name for column in columns], [note])


def _derived(container: Container, columns: list[Column], assumed: list[str], notes: list[str]) -> Derived:
    if assumed:
        few = listed(assumed)
        notes = [
            *notes,
            f"No encoder tells the type of {few}: taken as number, of which 1 and 0 are true and false.",
        ]
    return Derived(Schema(container=container, columns=columns), assumed, notes)


def _from_names(pipeline: Any, names: list[str]) -> Derived:
    readers = readers_of(pipeline, names)
    columns = [_read_column(name, readers.get(name)) for name in names]
    return _derived("frame", columns, [name for name in names if name not in readers], [])


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
