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
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from skdeploy.engines.compiling.cells import Cells, Probe, fitted_steps
from skdeploy.engines.compiling.converters.boosters import categories_of
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.following import follow, is_followed, packed
from skdeploy.engines.compiling.tables import (
    count_words,
    encode,
    place_of_category,
    place_of_code,
    vectorize,
)
from skdeploy.engines.graph import Feature, Lookup, Number
from skdeploy.schema import Schema

Items = list[Cells | Feature]
# Models whose members are all given the same columns, and nothing besides.
_SIDE_BY_SIDE = (
    *(VotingClassifier, VotingRegressor, StackingClassifier, StackingRegressor),
    *(MultiOutputClassifier, MultiOutputRegressor, OneVsRestClassifier),
)

# Models that give all they are given to one other: where they keep it.
_AROUND_ONE = {
    TransformedTargetRegressor: "regressor_",
    TunedThresholdClassifierCV: "estimator_",
    FixedThresholdClassifier: "estimator_",
}


def split(pipeline: Any, schema: Schema) -> tuple[Any, list[Feature]]:
    """The part of the pipeline that is left for the graph, and the columns of numbers that it is given.

    Raises NotCompilable.
    """
    items: Items = [Cells(index) for index in range(len(schema.columns))]
    rest, items = _Walk(schema).step(pipeline, items)
    return rest, packed(items, Probe(schema))


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
            chosen = [
                (name, one, self._chosen(part, columns, items)) for name, one, columns in part.transformers_
            ]
            return self._branches(chosen, part.transformer_weights)
        if hasattr(part, "transformer_list") and not part.transformer_weights:
            chosen = [(name, one, items) for name, one in part.transformer_list]
            return self._branches(chosen, None)
        if hasattr(part, "best_estimator_"):
            return self.step(part.best_estimator_, items)
        if (attribute := _AROUND_ONE.get(type(part))) is not None:
            left = copy.copy(part)
            rest, items = self.step(getattr(part, attribute), items)
            setattr(left, attribute, rest)
            return left, items
        # A final estimator that is given the columns as well must have them as they are.
        if type(part) in _SIDE_BY_SIDE and not getattr(part, "passthrough", False):
            left = copy.copy(part)
            left.estimators_, items = self._members(part.estimators_, items)
            return left, items
        if type(part) is CalibratedClassifierCV:
            left, calibrated = copy.copy(part), [copy.copy(one) for one in part.calibrated_classifiers_]
            members, items = self._members([one.estimator for one in calibrated], items)
            for one, member in zip(calibrated, members, strict=True):
                one.estimator = member
            left.calibrated_classifiers_ = calibrated
            return left, items
        if getattr(part, "_preprocessor", None) is not None:
            return self._histogram(part, items)
        return self._leaf(part, items)

    def _pipeline(self, part: Any, items: Items) -> tuple[Any, Items]:
        steps = fitted_steps(part)
        for index, (name, step) in enumerate(steps):
            rest, items = self.step(step, items)
            if rest is not None:
                following = steps[index + 1 :]
                return Pipeline([(name, rest), *following]) if following else rest, items
        return None, items

    def _branches(self, chosen: list[tuple[str, Any, Items]], weights: Any) -> tuple[Any, Items]:
        """Steps side by side: they stay a ColumnTransformer unless nothing is left of them all."""
        weights = dict(weights or {})
        rests: list[tuple[str, Any, list[int]]] = []
        items: Items = []
        placed: dict[str, list[int]] = {}
        for name, part, given in chosen:
            if (isinstance(part, str) and part == "drop") or not given:
                continue
            rest, passed = self.step(part, given)
            key = " ".join(map(_key, passed))
            if key not in placed:
                start, width = _width(items), _width(passed)
                placed[key], items = list(range(start, start + width)), items + passed
            if rest is None and name in weights:
                rest = _weighted(len(placed[key]), weights.pop(name))
            rests.append((name, "passthrough" if rest is None else rest, placed[key]))
        kinds = {rest if isinstance(rest, str) else type(rest) for _, rest, _ in rests}
        if len(placed) == len(rests) and not weights:
            if kinds <= {"passthrough"}:
                return None, items
            if kinds <= {"passthrough", StandardScaler}:
                return _scaler([(rest, len(places)) for _, rest, places in rests]), items
        return _columns(rests, weights), items

    def _members(self, members: list[Any], items: Items) -> tuple[list[Any], Items]:
        """Models side by side: each chooses its own among the columns that any of them is given."""
        stepped = [self.step(member, items) for member in members]
        walked = [(rest, packed(given, self._probe)) for rest, given in stepped]
        passed: dict[str, tuple[int, Feature]] = {}
        width = 0
        for item in (item for _, given in walked for item in given):
            if _key(item) not in passed:
                passed[_key(item)] = (width, item)
                width += item.width
        left = []
        for rest, given in walked:
            starts = [passed[_key(item)][0] for item in given]
            places = [
                start + one for start, item in zip(starts, given, strict=True) for one in range(item.width)
            ]
            chosen = _chosen(places, width)
            left.append(rest if chosen is None else Pipeline([("columns", chosen), ("rest", rest)]))
        return left, [item for _, item in passed.values()]

    def _histogram(self, part: Any, items: Items) -> tuple[Any, Items]:
        """HistGradientBoosting's own encoder, which puts categories before numbers."""
        branches = {name: (step, columns) for name, step, columns in part._preprocessor.transformers_}
        encoder, categorical = branches["encoder"]
        numeric = branches["numerical"][1]
        chosen = self._chosen(part._preprocessor, categorical, items)
        encoded: Items = []
        for item, categories in zip(chosen, encoder.categories_, strict=True):
            if isinstance(item, Cells):
                encoded.append(place_of_category(item, categories.tolist(), np.nan))
            elif isinstance(item, Lookup):
                encoded.append(place_of_code(item, categories.tolist()))
            else:
                raise NotCompilable("HistGradientBoosting with categories that another step calculates")
        left = copy.copy(part)
        left._preprocessor = None
        return self._leaf(left, encoded + self._chosen(part._preprocessor, numeric, items))

    def _booster(self, part: Any, items: Items) -> Items:
        """With the places of pandas' categories in their stead, where they are a booster's affair."""
        categorical = [item for item in items if isinstance(item, Cells) and self._is_category(item)]
        learned = categories_of(part) if categorical else None
        if not learned:
            return items
        if len(learned.columns) != len(categorical):
            raise NotCompilable(f"{type(part).__name__} learned the categories of other columns")
        columns = iter(learned.columns)
        return [
            place_of_category(item, next(columns), learned.other)
            if isinstance(item, Cells) and self._is_category(item)
            else item
            for item in items
        ]

    def _is_category(self, cells: Cells) -> bool:
        """Whether a booster can be given the column, and not as numbers."""
        if cells.source is None:
            return self._probe.column(cells).dtype == "category"
        return not self._probe.holds_numbers(cells)

    def _leaf(self, part: Any, items: Items) -> tuple[Any, Items]:
        kind = type(part)
        items = self._booster(part, items)
        cells = [item for item in items if isinstance(item, Cells)]
        if kind is FunctionTransformer and part.func is None:
            return None, items
        if len(cells) == len(items):
            if kind in (OneHotEncoder, OrdinalEncoder, TargetEncoder):
                self._require_encoded(cells, part)
                return None, list(encode(part, cells, self._probe))
            if is_followed(part):
                self._require_encoded(cells, part)
                return None, list(follow(part, cells, self._probe))
            if kind in (CountVectorizer, TfidfVectorizer) and len(cells) == 1:
                return None, [count_words(part, cells[0])]
            if kind is DictVectorizer:
                return self._dicts(part, cells)
        self._refuse((one for one in cells if not self._probe.holds_numbers(one)), part)
        return part, items

    def _dicts(self, part: Any, cells: list[Cells]) -> tuple[Any, Items]:
        self._require_encoded(cells, part)
        order, features = vectorize(part, cells, self._probe)
        return _chosen(np.argsort(order).tolist(), len(order)), list(features)

    def _require_encoded(self, cells: Iterable[Cells], part: Any) -> None:
        self._refuse((one for one in cells if not self._probe.column(one).kind.is_encoded), part)

    def _refuse(self, cells: Iterable[Cells], part: Any) -> None:
        for one in cells:
            column = self._probe.column(one)
            raise NotCompilable(
                f"{type(part).__name__} takes the {column.kind.plural} of the column {column.name!r}"
            )

    def _chosen(self, part: Any, columns: Any, items: Items) -> Items:
        """The columns that a branch of a ColumnTransformer is given."""
        fitted = [str(name) for name in getattr(part, "feature_names_in_", [])]
        if isinstance(columns, slice) and not isinstance(columns.start or columns.stop, str):
            columns = range(len(items))[columns]
        elif isinstance(columns, slice):
            start = fitted.index(columns.start) if columns.start is not None else None
            stop = fitted.index(columns.stop) + 1 if columns.stop is not None else None
            columns = range(len(items))[start : stop : columns.step]
        listed: Any = [columns] if isinstance(columns, (str, int, np.integer)) else list(columns)
        if listed and all(isinstance(one, (bool, np.bool_)) for one in listed):
            listed = np.flatnonzero(listed).tolist()
        # By name where the columns are a frame's, which may come in any order.
        cells = [item for item in items if isinstance(item, Cells)]
        named = {self._probe.name(item): item for item in reversed(cells)} if len(cells) == len(items) else {}
        return [self._find(one, fitted, items, named) for one in listed]

    @staticmethod
    def _find(key: Any, fitted: list[str], items: Items, named: dict[Any, Cells]) -> Cells | Feature:
        name = key if isinstance(key, str) else fitted[key] if fitted and named else None
        if name is not None and name in named:
            return named[name]
        if any(item.width != 1 for item in items):
            raise NotCompilable("columns chosen among those that an encoder made")
        return items[fitted.index(key) if isinstance(key, str) else key]


def _width(items: Items) -> int:
    return sum(item.width for item in items)


def _columns(branches: list[tuple[str, Any, list[int]]], weights: dict[str, float] | None = None) -> Any:
    made = ColumnTransformer(branches, transformer_weights=weights or None)
    made.transformers_ = branches
    return made


def _weighted(width: int, weight: float) -> Any:
    made = StandardScaler(with_mean=False)
    made.mean_, made.scale_ = np.zeros(width), np.full(width, 1 / weight if weight else np.inf)
    return made


def _scaler(parts: list[tuple[Any, int]]) -> Any:
    """Scalers side by side, or numbers as they are, in one: it spares the graph to take columns apart."""
    made = StandardScaler()
    none = StandardScaler(with_mean=False, with_std=False)
    scalers = [(none if isinstance(part, str) else part, width) for part, width in parts]
    made.mean_ = np.concatenate(
        [part.mean_ if part.with_mean else np.zeros(width) for part, width in scalers]
    )
    made.scale_ = np.concatenate(
        [part.scale_ if part.with_std else np.ones(width) for part, width in scalers]
    )
    made.n_features_in_ = len(made.mean_)
    return made


def _chosen(places: list[int], width: int) -> Any:
    """A step that chooses some of the columns; None for all as they are."""
    if places == list(range(width)):
        return None
    # skl2onnx takes as many columns as there are for all of them in their order.
    parts = [places] if len(places) < width else [places[:1], places[1:]]
    return _columns([(f"chosen_{index}", "passthrough", part) for index, part in enumerate(parts)])


def _key(item: Cells | Feature) -> str:
    """Equal for columns that hold the same numbers; numpy would leave out the middle of a long array."""
    if isinstance(item, Lookup):
        return f"{item.column} {item.codes} {item.rows.tobytes()!r} {item.apart.tobytes()!r}"
    if isinstance(item, Cells):
        return f"{item.column} {id(item.source)} {item.place}"
    return repr(item) if isinstance(item, Number) else str(id(item))
