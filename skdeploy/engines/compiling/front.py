"""The first steps of a pipeline, done while records are packed; what is left is for the graph.

The walk follows columns through Pipelines, ColumnTransformers, FeatureUnions and searches to the
imputers and encoders that read them. What cannot be a table of cells stays a step of the graph, and
gets its numbers in the order in which it had them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from skdeploy.engines.compiling.cells import Cells, Probe
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.tables import count_words, encode, impute
from skdeploy.engines.graph import Feature, Number
from skdeploy.schema import Schema

Items = list[Cells | Feature]


def split(pipeline: Any, schema: Schema) -> tuple[Any, list[Feature]]:
    """The part of the pipeline that is left for the graph, and the columns of numbers that it is given.

    Raises NotCompilable.
    """
    items: Items = [Cells(index) for index in range(len(schema.columns))]
    rest, items = _Walk(schema).step(pipeline, items)
    return rest, [_number(item, schema) if isinstance(item, Cells) else item for item in items]


def _number(cells: Cells, schema: Schema) -> Feature:
    dtype = schema.columns[cells.column].dtype.lower()
    precision = dtype if dtype in ("float32", "float16") and not cells.imputed else "float64"
    return Number(
        cells.column, {cell: float(value) for cell, value in cells.changed.items()}, precision=precision
    )


class _Walk:
    """`step` takes a fitted step and its columns; it gives back what is left of it, None if nothing,
    and the columns that this is given, or that the next step is.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._probe = Probe(schema)

    def step(self, part: Any, items: Items) -> tuple[Any, Items]:
        if part is None or (isinstance(part, str) and part == "passthrough"):
            return None, items
        if hasattr(part, "steps"):
            return self._pipeline(part, items)
        if hasattr(part, "transformers_"):
            chosen = [(name, one, self._chosen(part, columns, items)) for name, one, columns in part.transformers_]
            return self._branches(chosen, part.transformer_weights)
        if hasattr(part, "transformer_list"):
            chosen = [(name, one, items) for name, one in part.transformer_list]
            return self._branches(chosen, part.transformer_weights)
        if hasattr(part, "best_estimator_"):
            return self.step(part.best_estimator_, items)
        return self._leaf(part, items)

    def _pipeline(self, part: Any, items: Items) -> tuple[Any, Items]:
        for index, (name, step) in enumerate(part.steps):
            rest, items = self.step(step, items)
            if rest is not None:
                following = [(other, one) for other, one in part.steps[index + 1 :] if one is not None]
                if not following:
                    return rest, items
                left = copy.copy(part)
                left.steps = [(name, rest), *following]
                return left, items
        return None, items

    def _branches(self, chosen: list[tuple[str, Any, Items]], weights: Any) -> tuple[Any, Items]:
        """Steps side by side: they stay a ColumnTransformer unless nothing is left of them all."""
        if weights:
            raise NotCompilable("transformer_weights")
        rests, items, start = [], list[Cells | Feature](), 0
        for name, part, given in chosen:
            if (isinstance(part, str) and part == "drop") or not given:
                continue
            rest, passed = self.step(part, given)
            width = sum(item.width for item in passed)
            rests.append((name, "passthrough" if rest is None else rest, list(range(start, start + width))))
            items, start = items + passed, start + width
        if all(isinstance(rest, str) for _, rest, _ in rests):
            return None, items
        left = ColumnTransformer(rests)
        left.transformers_ = rests
        return left, items

    def _leaf(self, part: Any, items: Items) -> tuple[Any, Items]:
        kind = type(part)
        cells = [item for item in items if isinstance(item, Cells)]
        if kind is FunctionTransformer and part.func is None:
            return None, items
        if len(cells) == len(items):
            if kind in (OneHotEncoder, OrdinalEncoder, TargetEncoder):
                self._refuse(cells, "datetime", part)
                return None, list(encode(part, cells, self._probe))
            if kind is SimpleImputer:
                self._refuse(cells, "datetime", part)
                return None, impute(part, cells, self._probe)
            if kind in (CountVectorizer, TfidfVectorizer) and len(cells) == 1:
                return None, [count_words(part, cells[0])]
        for unfit in ("datetime", "str"):
            self._refuse(cells, unfit, part)
        return part, items

    def _refuse(self, cells: Iterable[Cells], unfit: str, part: Any) -> None:
        for one in cells:
            column = self._schema.columns[one.column]
            if column.type == unfit:
                what = {"datetime": "date-times", "str": "texts"}[unfit]
                raise NotCompilable(f"{type(part).__name__} takes the {what} of the column {column.name!r}")

    def _chosen(self, part: Any, columns: Any, items: Items) -> Items:
        """The columns that a branch of a ColumnTransformer is given."""
        fitted = [str(name) for name in getattr(part, "feature_names_in_", [])]
        if isinstance(columns, slice) and not isinstance(columns.start or columns.stop, str):
            columns = range(len(items))[columns]
        elif isinstance(columns, slice):
            start = fitted.index(columns.start) if columns.start is not None else None
            stop = fitted.index(columns.stop) + 1 if columns.stop is not None else None
            columns = range(len(items))[start : stop : columns.step]
        listed = [columns] if isinstance(columns, (str, int, np.integer)) else list(columns)
        if listed and all(isinstance(one, (bool, np.bool_)) for one in listed):
            listed = np.flatnonzero(listed).tolist()
        return [self._find(one, fitted, items) for one in listed]

    def _find(self, key: Any, fitted: list[str], items: Items) -> Cells | Feature:
        """By name where the columns are still the schema's: a frame's columns may come in any order."""
        plain = all(isinstance(item, Cells) for item in items)
        name = key if isinstance(key, str) else fitted[key] if fitted and plain else None
        if name is not None and plain:
            names = [self._schema.columns[item.column].name for item in items]
            if name in names:
                return items[names.index(name)]
        if any(item.width != 1 for item in items):
            raise NotCompilable("columns chosen among those that an encoder made")
        return items[fitted.index(key) if isinstance(key, str) else key]
