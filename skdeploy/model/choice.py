"""Which engine serves: the compiled one if it is proved equal to scikit-learn, else scikit-learn."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from skdeploy.engines import Engine
from skdeploy.engines.graph import Graph
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ModelUnavailable
from skdeploy.model.edges import edge_records
from skdeploy.model.exported import onnx_engine
from skdeploy.model.outputs import predicts
from skdeploy.model.proof import OTHER_MAKE
from skdeploy.passport import Output, Passport
from skdeploy.schema import Table

_log = logging.getLogger(__name__)

# Regression: relative, and relative to the spread of the predictions. Probabilities: absolute.
TOLERANCE = OTHER_MAKE
# The share of golden records that a graph may leave to scikit-learn: each is scored twice.
_MOST_LEFT = 0.1


class Chosen(NamedTuple):
    """The engine that serves.

    fallback   why it is scikit-learn although another was wanted; None if it was not
    graph      of the compiled engine
    """

    engine: Engine
    fallback: str | None = None
    graph: Graph | None = None


def choose_engine(pipeline: Any, passport: Passport, golden: Table, wanted: str) -> Chosen:
    """The compiled engine where that is proved equal to scikit-learn, else scikit-learn.

    wanted   "auto", "sklearn", or "onnx", which raises ModelUnavailable in place of falling back
    """
    reference = SklearnEngine(pipeline, passport.schema)
    if wanted == "sklearn":
        return Chosen(reference)
    try:
        engine, graph = compile_engine(pipeline, passport, golden, reference)
    except NotCompiled as error:
        if wanted == "onnx":
            raise ModelUnavailable(
                f"SKDEPLOY_ENGINE=onnx, but {error}. Unset it to serve with scikit-learn."
            ) from error
        _log.info("The engine is sklearn: %s", error)
        return Chosen(reference, fallback=str(error))
    return Chosen(engine, graph=graph)


class NotCompiled(Exception):
    """The pipeline cannot be compiled, or not to its equal; `str(error)` is the reason."""


class _Unequal(Exception):
    """The two engines answer differently; says where, without a record's values."""


def compile_engine(
    pipeline: Any, passport: Passport, golden: Table, reference: SklearnEngine
) -> tuple[Engine, Graph]:
    """The compiled engine, proved equal to the reference, and its graph. Raises NotCompiled."""
    for package in ("onnx", "onnxruntime", "skl2onnx"):
        if find_spec(package) is None:
            raise NotCompiled(f"{package} is not installed: run pip install 'skdeploy[serve]'")
    try:
        return _compiled(pipeline, passport, golden, reference)
    except _Unequal as error:
        raise NotCompiled(f"the compiled pipeline differs from scikit-learn: {error}") from error
    except Exception as error:  # whatever compiling or running raises, scikit-learn serves
        raise NotCompiled(f"the pipeline cannot be compiled: {error}") from error


def _compiled(
    pipeline: Any, passport: Passport, golden: Table, reference: SklearnEngine
) -> tuple[Engine, Graph]:
    from skdeploy.engines.compiling import NotCompilable, compile_graph

    begin = time.perf_counter()
    graph = compile_graph(pipeline, passport.schema)
    engine = onnx_engine(graph, passport.output, reference)
    if graph.undecided and engine.leaves(golden) > _MOST_LEFT * golden.count:
        raise NotCompilable("it often decides between equals, as scikit-learn alone can")
    edges, names = edge_records(passport.schema, golden)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spread = _spread(reference.predict(golden))
        same = _Comparison(engine, reference, passport.output, spread)
        same.require(golden, ["a golden record"] * golden.count)
        edges, names = _predictable(engine, reference, edges, names)
        same.require(edges, names)
    _log.info(
        "Compiled in %.2f s, and equal to scikit-learn on %d golden and %d edge records",
        time.perf_counter() - begin,
        golden.count,
        edges.count,
    )
    return engine, graph


def _predictable(
    engine: Engine, reference: Engine, table: Table, names: list[str]
) -> tuple[Table, list[str]]:
    """The records that scikit-learn predicts. On the others the engine must have no answer either."""
    if predicts(reference, table):
        return table, names
    kept = []
    for index in range(table.count):
        one = table.rows([index])
        if predicts(reference, one):
            kept.append(index)
        elif predicts(engine, one):
            raise _Unequal(f"an answer where scikit-learn raises, {names[index]}")
    return table.rows(kept), [names[index] for index in kept]


def _spread(predictions: Any) -> Any:
    """Per output, the standard deviation of the golden predictions; 0 for labels."""
    array = np.asarray(predictions)
    return np.nanstd(array.reshape(len(array), -1), axis=0) if array.dtype.kind == "f" else 0.0


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two engines, and what is equal for them; `spread` is that of the golden predictions."""

    engine: Engine
    reference: Engine
    output: Output
    spread: Any

    def require(self, table: Table, names: list[str]) -> None:
        """Raise _Unequal with the name of the first record that the engines answer differently."""
        if not table.count:
            return
        got, expected = (np.asarray(each.predict(table)) for each in (self.engine, self.reference))
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


def _require_same_labels(got: Any, expected: Any, probabilities: Any, names: list[str]) -> None:
    if got.dtype.kind != expected.dtype.kind and "O" not in (got.dtype.kind, expected.dtype.kind):
        raise _Unequal(f"labels are {got.dtype} in place of {expected.dtype}")
    differ = (got.reshape(expected.shape) != expected).reshape(len(expected), -1).any(axis=1)
    for index in np.flatnonzero(differ):
        if not _is_toss_up(probabilities, int(index)):
            raise _Unequal(f"another label, {names[index]}")


def _require_close(got: Any, expected: Any, scale: Any, names: list[str]) -> None:
    got, expected = got.reshape(len(expected), -1), expected.reshape(len(expected), -1)
    with np.errstate(invalid="ignore"):
        same = np.abs(got - expected) <= TOLERANCE * scale
    same |= ~np.isfinite(got) & ~np.isfinite(expected)
    for row, column in np.argwhere(~same):
        raise _Unequal(f"{got[row, column]} in place of {expected[row, column]}, {names[row]}")


def _is_toss_up(probabilities: Any, index: int) -> bool:
    if probabilities is None or probabilities.shape[1] < 2:
        return False
    first, second = np.sort(probabilities[index])[::-1][:2]
    return bool(first - second <= TOLERANCE)
