"""What a pipeline accepts is found out by trying it, with a null and an unseen value per column."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal

import msgspec
import numpy as np

from skdeploy.engines.sklearn import SklearnEngine, plain_labels
from skdeploy.errors import SaveError
from skdeploy.model.outputs import predicted, predicts
from skdeploy.passport import Output
from skdeploy.passport.walk import learned_texts, read_alike
from skdeploy.schema import Column, Null, Schema, Table

Distinct = Callable[[str], list[Any]]
# Numbers as columns have them that somebody turns into texts: counts, codes, parts of dates.
_WHOLE = (*range(100), *range(1990, 2040))
# What a pipeline of numbers does not take.
_TEXTS = ("text", "2024-01-31")
_DIGITS, _SCALES, _MOST_JOINED, _MOST_ROWS = re.compile(r"\d{1,12}"), (1, 10, 100, 1000), 5, 5000
# A column as it would be, and a cell of it.
Trial = tuple[Column, Any]


def probe_columns(pipeline: Any, schema: Schema, sample: Table, distinct: Distinct | None = None) -> Schema:
    """The schema with `nullable`, `null`, `unknown` and, where needed, `categories` found out.

    sample     a few records that predict
    distinct   column name -> the values seen in training, if training data is at hand
    """
    schema = _probe_nulls(pipeline, schema, sample)
    return _probe_unknown(pipeline, schema, sample, distinct)


def taking_texts(pipeline: Any, schema: Schema, sample: Table, names: Collection[str]) -> list[str]:
    """Those of the columns `names`, which hold numbers, in which the pipeline takes a text as well."""
    found: set[int] = set()
    for text in _TEXTS:
        trials = {
            place: (msgspec.structs.replace(column, type="str", dtype="object"), text)
            for place, column in enumerate(schema.columns)
            if column.name in names and place not in found
        }
        found |= _taken(pipeline, schema, sample, trials)
    return [schema.names[place] for place in sorted(found)]


def telling_whole_numbers(pipeline: Any, schema: Schema, names: Collection[str]) -> list[str]:
    """Those of the columns `names` of numbers in which the pipeline makes another thing of 1 than of 1.0.

    A function that writes numbers as texts does, whatever step of the pipeline has it.
    """
    places = [place for place, column in enumerate(schema.columns) if column.name in names]
    if not places:
        return []
    rows = _whole_numbers(pipeline, len(places))
    cells = [[column.example] * len(rows) for column in schema.columns]
    for place, column_of_numbers in zip(places, zip(*rows, strict=True), strict=True):
        cells[place] = list(column_of_numbers)
    table = Table(cells, len(rows))
    _, expected = predicted(SklearnEngine(pipeline, schema), table)

    def tells(chosen: list[int]) -> bool:
        columns = list(schema.columns)
        for place in chosen:
            columns[place] = msgspec.structs.replace(columns[place], type="int", dtype="int64")
        whole = Schema(container=schema.container, columns=columns)
        _, got = predicted(SklearnEngine(pipeline, whole), table)
        if got.shape != expected.shape or expected.dtype.kind != "f":
            return not np.array_equal(got, expected)
        return not np.allclose(got, expected, rtol=1e-9, atol=0.0)

    def found(chosen: list[int]) -> list[int]:
        if not chosen or not tells(chosen):
            return []
        middle = len(chosen) // 2
        halves = [*found(chosen[:middle]), *found(chosen[middle:])] if middle else []
        # Of columns that become one text neither half tells by itself.
        return halves or chosen

    return [schema.names[place] for place in found(places)]


def _whole_numbers(pipeline: Any, width: int) -> list[tuple[int, ...]]:
    """Rows of `width` whole numbers: common ones, and those that may be in the texts that encoders know.

    "10035_4" may come of 10035 and 4, and "100" of 100 or of a code of which only the first digits count.
    """
    rows = [(number,) * width for number in _WHOLE]
    for text in learned_texts(pipeline):
        numbers = [int(digits) for digits in _DIGITS.findall(text)][:3]
        if len(numbers) > 1 and width <= _MOST_JOINED:
            rows += itertools.product(numbers, repeat=width)
        rows += [(number * scale,) * width for number in numbers for scale in _SCALES]
    return rows[:_MOST_ROWS]


def probe_output(pipeline: Any, schema: Schema, sample: Table, names: list[str] | None) -> Output:
    """What the pipeline predicts; `names` are the columns of y if it has several."""
    engine = SklearnEngine(pipeline, schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = engine.predict(sample)
        several = made.ndim == 2 and made.shape[1] > 1
        classes = _classes(pipeline, made) if hasattr(pipeline, "classes_") else None
        probabilities = classes is not None and _has_probabilities(pipeline, engine, sample, several)
    return Output(
        kind=_kind(pipeline),
        names=_output_names(names, made.shape[1]) if several else None,
        classes=classes,
        probabilities=probabilities,
    )


def _kind(pipeline: Any) -> Literal["regression", "classification", "other"]:
    from sklearn.base import is_classifier, is_regressor

    try:
        if is_regressor(pipeline):
            return "regression"
        return "classification" if is_classifier(pipeline) else "other"
    except AttributeError:  # its class, or its last step's, is none of scikit-learn's
        return "other"


def _output_names(names: list[str] | None, width: int) -> list[str]:
    if names is None:
        return [f"y{index}" for index in range(width)]
    if len(names) != width or len(set(names)) != width:
        raise SaveError(f"The pipeline has {width} outputs, but the columns of y are named {names}.")
    return names


def _has_probabilities(pipeline: Any, engine: SklearnEngine, sample: Table, several: bool) -> bool:
    """Several outputs need an array of probabilities each."""
    if not hasattr(pipeline, "predict_proba"):
        return False
    made = engine.predict_proba(sample)
    # LightGBM has raw scores, (n,), where the objective is a function.
    return isinstance(made, list) == several and (several or np.ndim(made) == 2)


def _classes(pipeline: Any, predicted: Any) -> list[Any]:
    """The labels; a list per output if there are several, of which a multi-label classifier has 0 and 1."""
    classes = pipeline.classes_
    if predicted.ndim < 2 or predicted.shape[1] < 2:
        only = classes[0] if isinstance(classes, list) and len(classes) == 1 else classes
        plain: list[Any] = plain_labels(only).tolist()
        return plain
    if isinstance(classes, list) and len(classes) == predicted.shape[1]:
        return [plain_labels(output).tolist() for output in classes]
    return [np.array([0, 1], dtype=predicted.dtype).tolist() for _ in range(predicted.shape[1])]


def _probe_nulls(pipeline: Any, schema: Schema, sample: Table) -> Schema:
    """First as the training data wrote nulls, then in other ways."""
    columns = list(schema.columns)
    ways = [_null_candidates(column) for column in columns]
    for turn in range(max(map(len, ways))):
        trials = {
            place: (msgspec.structs.replace(column, nullable=True, null=ways[place][turn]), None)
            for place, column in enumerate(columns)
            if not column.nullable and turn < len(ways[place])
        }
        trials = {place: trial for place, trial in trials.items() if _holds_what_was_seen(trial[0])}
        for place in _taken(pipeline, schema, sample, trials):
            columns[place] = trials[place][0]
    return Schema(container=schema.container, columns=columns)


def _holds_what_was_seen(column: Column) -> bool:
    """A null turns integers into doubles, in which large ones would not be themselves."""
    low, high = column.bounds
    if column.type != "int" or column.minimum is None:
        return True
    return bool(low <= column.minimum and column.maximum <= high)


def _null_candidates(column: Column) -> list[Null]:
    """How a null may be written; the way of the training data first."""
    if column.dtype not in ("object", "bool") or column.null == "absent":
        return [column.null]
    ways: list[Null] = ["nan", "none", "NA"]
    return [column.null, *(way for way in ways if way != column.null)]


def _probe_unknown(pipeline: Any, schema: Schema, sample: Table, distinct: Distinct | None) -> Schema:
    columns = list(schema.columns)
    unseen = {place: (column, _unseen_value(column)) for place, column in enumerate(columns)}
    trials = {place: trial for place, trial in unseen.items() if trial[1] is not None}
    for place in trials.keys() - _taken(pipeline, schema, sample, trials):
        column = columns[place]
        categories = column.categories
        if column.type == "bool":
            categories = [column.example]
        elif categories is None and distinct is not None:
            categories = distinct(column.name)
        if categories is not None:
            columns[place] = msgspec.structs.replace(column, unknown="refuse", categories=categories)
    return Schema(container=schema.container, columns=columns)


def _unseen_value(column: Column) -> Any:
    """A value that training did not have; None if that says nothing of categories.

    A number on which the pipeline raises may as well be outside a function's domain: only where an
    encoder learned its values are numbers categories.
    """
    if column.type == "bool":
        return None if column.example is None else not column.example
    if column.kind.is_numeric and not column.categories:
        return None
    if column.dtype_categories:
        # XGBoost says that it refuses an unseen category, and does so only behind the last of its own.
        last = max(column.dtype_categories)
        return f"{last}~" if isinstance(last, str) else last + 1
    return column.kind.unseen(column.categories or ())


def _taken(pipeline: Any, schema: Schema, sample: Table, trials: dict[int, Trial]) -> set[int]:
    """The columns whose trial the pipeline predicts: all at once, and if it raises by groups and by halves.

    A call of a pipeline with a thousand columns may take a while. Of a group of columns that a part of
    scikit-learn reads, and treats alike, all raise if the first and the last do.
    """

    def predicts_with(places: Iterable[int]) -> bool:
        columns, cells = list(schema.columns), list(sample.cells)
        for place in places:
            columns[place], cell = trials[place]
            cells[place] = [cell] * sample.count
        tried = Schema(container=schema.container, columns=columns)
        return predicts(SklearnEngine(pipeline, tried), Table(cells, sample.count))

    def taken(places: list[int], alike: bool) -> set[int]:
        if predicts_with(places):
            return set(places)
        if len(places) == 1 or (
            alike and not any(predicts_with([place]) for place in (places[0], places[-1]))
        ):
            return set()
        middle = len(places) // 2
        return taken(places[:middle], alike=False) | taken(places[middle:], alike=False)

    if not trials or predicts_with(trials):
        return set(trials)
    place_of = {name: place for place, name in enumerate(schema.names)}
    found: set[int] = set()
    for names, alike in read_alike(pipeline, schema.names):
        by_kind: dict[Any, list[int]] = {}
        for name in names:
            if (place := place_of[name]) in trials:
                column = trials[place][0]
                by_kind.setdefault((column.dtype, column.null), []).append(place)
        for places in by_kind.values():
            found |= taken(places, alike)
    return found
