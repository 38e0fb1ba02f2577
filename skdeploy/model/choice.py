"""Which engine serves: the compiled one if it is proved equal to scikit-learn, else scikit-learn."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skdeploy.engines import Engine
from skdeploy.engines.graph import Graph, Words
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ModelUnavailable
from skdeploy.model.boundaries import Jumps, Scale, cells, join, made_up, most_records, outcome, tables
from skdeploy.model.exported import onnx_engine
from skdeploy.model.model import Compared
from skdeploy.model.outputs import predicted
from skdeploy.model.proof import OTHER_MAKE
from skdeploy.passport import Output, Passport
from skdeploy.schema import Schema, Table

if TYPE_CHECKING:
    from skdeploy.engines.compiling import Decisions

_log = logging.getLogger(__name__)

# Regression: relative, and relative to the spread of the predictions. Probabilities: absolute.
TOLERANCE = OTHER_MAKE
# CPU seconds that comparing the engines may take at start.
BUDGET = 2.0
# Of them, the share after which the search for ties ends, and the share that a search for jumps may take.
_SEARCHING, _PER_SEARCH = 0.25, 0.1
# Pairs of records between which jumps are searched, of the compiled pipeline and of scikit-learn; predictions
# per pair; ties that are compared; and the least records of a call with cells at boundaries.
_PAIRS, _PAIRS_OF_REFERENCE, _PER_PAIR, _MOST_TIES, _LEAST_BATCH = 64, 16, 100, 512, 256
# Cells for each number that a graph compares a column with, at the least.
_PER_NUMBER = 3
# The share of golden records that a graph may leave to scikit-learn: each is scored twice.
_MOST_LEFT = 0.1


class Chosen(NamedTuple):
    """The engine that serves.

    fallback   why it is scikit-learn although another was wanted; None if it was not
    graph      of the compiled engine
    compared   how the compiled engine was
    """

    engine: Engine
    fallback: str | None = None
    graph: Graph | None = None
    compared: Compared | None = None


def choose_engine(
    pipeline: Any, passport: Passport, golden: Table, wanted: str, seconds: float = BUDGET
) -> Chosen:
    """The compiled engine where that is proved equal to scikit-learn, else scikit-learn.

    wanted   "auto", "sklearn", or "onnx", which raises ModelUnavailable in place of falling back
    seconds  CPU time that comparing may take
    """
    reference = SklearnEngine(pipeline, passport.schema)
    if wanted == "sklearn":
        return Chosen(reference)
    try:
        return compile_engine(pipeline, passport, golden, reference, seconds)
    except NotCompiled as error:
        if wanted == "onnx":
            raise ModelUnavailable(
                f"SKDEPLOY_ENGINE=onnx, but {error}. Unset it to serve with scikit-learn."
            ) from error
        _log.info("The engine is sklearn: %s", error)
        return Chosen(reference, fallback=str(error))


class NotCompiled(Exception):
    """The pipeline cannot be compiled, or not to its equal; `str(error)` is the reason."""


class _Unequal(Exception):
    """The two engines answer differently; says where, without a record's values."""


def compile_engine(
    pipeline: Any, passport: Passport, golden: Table, reference: SklearnEngine, seconds: float = BUDGET
) -> Chosen:
    """The compiled engine, proved equal to the reference. Raises NotCompiled.

    seconds  CPU time that comparing may take
    """
    for package in ("onnx", "onnxruntime", "skl2onnx"):
        if find_spec(package) is None:
            raise NotCompiled(f"{package} is not installed: run pip install 'skdeploy[serve]'")
    try:
        return _compiled(pipeline, passport, golden, reference, seconds)
    except _Unequal as error:
        raise NotCompiled(f"the compiled pipeline differs from scikit-learn: {error}") from error
    except Exception as error:  # whatever compiling or running raises, scikit-learn serves
        raise NotCompiled(f"the pipeline cannot be compiled: {error}") from error


def _compiled(
    pipeline: Any, passport: Passport, golden: Table, reference: SklearnEngine, seconds: float
) -> Chosen:
    from skdeploy.engines.compiling import NotCompilable, compile_graph, decisions

    begin = time.perf_counter()
    graph = compile_graph(pipeline, passport.schema)
    engine = onnx_engine(graph, passport.output, reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        budget = _Budget(seconds)
        decided = decisions(graph)
        bases = golden
        if golden.count < 2:
            words = {one.column: [*one.vocabulary] for one in graph.features if isinstance(one, Words)}
            made = made_up(passport.schema, decided.around, words)
            bases = made.rows(predicted(reference, made, budget.is_spent)[0])
            bases = bases if bases.count else golden
        if graph.undecided and engine.leaves(bases) > _MOST_LEFT * bases.count:
            raise NotCompilable("it often decides between equals, as scikit-learn alone can")
        same = _Comparison(engine, reference, passport.output, budget)
        same.require(bases, ["a known record"] * bases.count)
        same.require_beside_jumps(passport.schema, bases)
        share = same.require_cells(passport.schema, bases, decided)
    _log.info(
        "Compiled in %.2f s, and equal to scikit-learn on %d records, %.0f %% of the boundary cases",
        time.perf_counter() - begin,
        same.records,
        share * 100,
    )
    return Chosen(engine, graph=graph, compared=Compared(same.records, share))


class _Budget:
    """CPU seconds of this process that comparing may take."""

    def __init__(self, seconds: float) -> None:
        self._begin = time.process_time()
        self.seconds = seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.process_time() - self._begin)

    def is_spent(self, share: float = 1.0) -> bool:
        """Whether a share of it is spent."""
        return time.process_time() - self._begin >= share * self.seconds


def _spread(predictions: Any) -> Any:
    """Per output, the standard deviation of the golden predictions; 0 for labels."""
    array = np.asarray(predictions)
    return np.nanstd(array.reshape(len(array), -1), axis=0) if array.dtype.kind == "f" else 0.0


@dataclass(slots=True)
class _Comparison:
    """Two engines, and what is equal for them.

    spread       per output, the standard deviation of the predictions that were compared first
    per_record   CPU seconds that scikit-learn took for each record of the last call
    records      how many were compared
    """

    engine: Engine
    reference: Engine
    output: Output
    budget: _Budget
    spread: Any = None
    per_record: float = 0.0
    records: int = 0

    def require_beside_jumps(self, schema: Schema, bases: Table) -> None:
        """Compare on ties, and beside jumps of compiled predictions and of scikit-learn's labels."""
        jumps = Jumps(schema, bases, Scale(self.spread, TOLERANCE))
        begin = time.process_time()
        outcome(self.engine, bases)
        pairs = self._pairs(_PAIRS, (time.process_time() - begin) / bases.count)
        searches: list[Callable[[], Table]] = [
            partial(jumps.beside, self.engine, pairs),
            partial(jumps.ties, self.engine, _MOST_TIES, partial(self.budget.is_spent, _SEARCHING)),
        ]
        if self.output.kind != "regression":
            pairs = self._pairs(_PAIRS_OF_REFERENCE, self.per_record)
            searches.append(partial(jumps.beside, self.reference, pairs))
        found = [bases.rows([])]
        for search in searches:
            try:
                found.append(search())
            except Exception as error:  # a record between two that predict may not predict
                _log.debug("A search for jumps ended: %s", type(error).__name__)
        table = join(found)
        self.require(table, ["at a jump of the predictions"] * table.count)

    def _pairs(self, most: int, per_record: float) -> int:
        """For how many pairs of records there is time to search for jumps."""
        return int(min(most, _PER_SEARCH * self.budget.seconds / (per_record * _PER_PAIR + 1e-9)))

    def require_cells(self, schema: Schema, bases: Table, decided: Decisions) -> float:
        """Compare with cells at boundaries, as many as there is time for; returns their share of all."""
        trials, done = cells(schema, bases, decided.around), 0
        while done < len(trials) and not self.budget.is_spent():
            batch = min(most_records(schema), self.budget.left / 2 / (self.per_record + 1e-9))
            chosen = trials[done : done + max(_LEAST_BATCH, int(batch))]
            self.require(*tables(bases, chosen))
            done += len(chosen)
        untried = (decided.total - len(decided.around)) * _PER_NUMBER
        return done / (len(trials) + untried) if trials else 1.0

    def require(self, table: Table, names: Sequence[str]) -> None:
        """Raise _Unequal with the name of the first record that the engines answer differently.

        Where scikit-learn raises, or has no finite prediction, the other must have none either.
        """
        rows, got = predicted(self.engine, table)
        # Where the one has no answer the other seldom has: apart, fewer calls raise.
        begin = time.process_time()
        known, expected = predicted(self.reference, table.rows(rows), self.budget.is_spent)
        self.per_record = (time.process_time() - begin) / max(1, len(rows))
        others = sorted({*range(table.count)}.difference(rows))
        answered, _ = predicted(self.reference, table.rows(others), self.budget.is_spent)
        if answered:
            raise _Unequal(f"no answer where scikit-learn has one, {names[others[answered[0]]]}")
        missing = sorted({*range(len(rows))}.difference(known))
        if missing and not self.budget.is_spent():
            raise _Unequal(f"an answer where scikit-learn raises, {names[rows[missing[0]]]}")
        if known:
            chosen = [rows[place] for place in known]
            self._require_equal(table.rows(chosen), got[known], expected, [names[row] for row in chosen])

    def _require_equal(self, table: Table, got: Any, expected: Any, names: Sequence[str]) -> None:
        self.records += table.count
        if self.spread is None:
            self.spread = _spread(expected)
        probabilities = None
        if self.output.probabilities:
            probabilities = _side_by_side(self.reference.predict_proba(table))
            _require_close(_side_by_side(self.engine.predict_both(table)[1]), probabilities, 1.0, names)
        if expected.dtype.kind == "f" and self.output.kind != "classification":
            scale = np.abs(expected.reshape(len(expected), -1)) + self.spread
            _require_close(got, expected, scale, names)
            return
        # A toss-up is between the classes of one output.
        _require_same_labels(got, expected, probabilities if expected.ndim == 1 else None, names)


def _side_by_side(probabilities: Any) -> Any:
    """Those of several outputs, a list, as one array."""
    return np.concatenate(probabilities, axis=1) if isinstance(probabilities, list) else probabilities


def _require_same_labels(got: Any, expected: Any, probabilities: Any, names: Sequence[str]) -> None:
    if got.dtype.kind != expected.dtype.kind and "O" not in (got.dtype.kind, expected.dtype.kind):
        raise _Unequal(f"labels are {got.dtype} in place of {expected.dtype}")
    differ = (got.reshape(expected.shape) != expected).reshape(len(expected), -1).any(axis=1)
    for index in np.flatnonzero(differ).tolist():
        if not _is_toss_up(probabilities, index):
            raise _Unequal(f"another label, {names[index]}")


def _require_close(got: Any, expected: Any, scale: Any, names: Sequence[str]) -> None:
    got, expected = got.reshape(len(expected), -1), expected.reshape(len(expected), -1)
    with np.errstate(invalid="ignore"):
        same = np.abs(got - expected) <= TOLERANCE * scale
    same |= ~np.isfinite(got) & ~np.isfinite(expected)
    for row, column in np.argwhere(~same).tolist():
        raise _Unequal(f"{got[row, column]} in place of {expected[row, column]}, {names[row]}")


def _is_toss_up(probabilities: Any, index: int) -> bool:
    if probabilities is None or probabilities.shape[1] < 2:
        return False
    first, second = np.sort(probabilities[index])[::-1][:2]
    return bool(first - second <= TOLERANCE)
