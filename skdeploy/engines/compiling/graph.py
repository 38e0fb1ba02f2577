"""The conversion of a whole pipeline, and what is mended in the graph after it."""

from __future__ import annotations

import warnings
from typing import Any

from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.graph import Graph, GraphInput
from skdeploy.schema import Column, Schema
from skdeploy.schema.column import LARGEST

_OPSET = {"": 21, "ai.onnx.ml": 3}
_IR_VERSION = 10
_TREE_ENSEMBLE_VERSION = 5
_FLOAT = 1  # onnx.TensorProto.FLOAT


def compile_graph(pipeline: Any, schema: Schema) -> Graph:
    """The pipeline as an ONNX graph in double precision: (n, outputs) for regressors, labels (n,)
    and probabilities (n, classes) for classifiers.

    Raises NotCompilable with the reason.
    """
    inputs = _inputs(pipeline, schema)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _convert(pipeline, inputs)
    except NotCompilable:
        raise
    except Exception as error:  # converters raise anything on what they do not know
        reason = str(error).strip().splitlines()
        raise NotCompilable(f"{type(error).__name__}: {reason[0] if reason else ''}") from error
    _mend(model)
    single = any(node.op_type == "Cast" and _casts_to_single(node) for node in model.graph.node)
    return Graph(model.SerializeToString(), inputs, LARGEST["float32"] if single else None)


def _casts_to_single(node: Any) -> bool:
    """Whether a number beyond a single's range would become infinite here; scikit-learn raises."""
    return any(attribute.name == "to" and attribute.i == _FLOAT for attribute in node.attribute)


def _inputs(pipeline: Any, schema: Schema) -> list[GraphInput]:
    """One input per column if the pipeline takes columns apart, else one for all its numbers."""
    if schema.container not in ("frame", "array"):
        raise NotCompilable(f"it takes {schema.container}, not columns")
    for column in schema.columns:
        if column.type == "datetime":
            raise NotCompilable(f"the column {column.name!r} holds date-times")
    if schema.container == "frame" and _takes_columns_apart(pipeline):
        # skl2onnx finds a column by its input's name, in which it allows few characters.
        return [
            GraphInput(column.name, [index], _is_text(column)) for index, column in enumerate(schema.columns)
        ]
    if any(map(_is_text, schema.columns)):
        raise NotCompilable("texts without a ColumnTransformer")
    return [GraphInput("numbers", list(range(len(schema.columns))), text=False)]


def _takes_columns_apart(pipeline: Any) -> bool:
    first = pipeline
    while True:
        if hasattr(first, "steps"):
            first = first.steps[0][1]
        elif hasattr(first, "best_estimator_") or hasattr(first, "regressor_"):
            first = getattr(first, "best_estimator_", None) or first.regressor_
        else:
            return hasattr(first, "transformers_")


def _is_text(column: Column) -> bool:
    return column.type == "str"


def _convert(pipeline: Any, inputs: list[GraphInput]) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from sklearn.base import is_classifier

    from skdeploy.engines.compiling.converters import CONVERTERS, PARSERS, SHAPES

    types = [
        (one.name, (StringTensorType if one.text else DoubleTensorType)([None, len(one.columns)]))
        for one in inputs
    ]
    final = pipeline
    while hasattr(final, "steps"):
        final = final.steps[-1][1]
    # skl2onnx's own parsers would write a dict of probabilities.
    theirs = is_classifier(pipeline) and hasattr(pipeline, "predict_proba") and type(final) not in PARSERS
    return convert_sklearn(
        pipeline,
        initial_types=types,
        options={id(final): {"zipmap": False}} if theirs else None,
        target_opset=_OPSET,
        custom_conversion_functions=CONVERTERS,
        custom_shape_calculators=SHAPES,
        custom_parsers=PARSERS,
    )


def _mend(model: Any) -> None:
    """Give our tree nodes their real operator: skl2onnx refuses to write its version."""
    from skdeploy.engines.compiling.converters import TREE_DOMAIN

    model.ir_version = _IR_VERSION
    ours = [node for node in model.graph.node if node.domain == TREE_DOMAIN]
    if not ours:
        return
    for node in ours:
        node.domain = "ai.onnx.ml"
    versions = {opset.domain: opset.version for opset in model.opset_import}
    versions.pop(TREE_DOMAIN)
    versions["ai.onnx.ml"] = _TREE_ENSEMBLE_VERSION
    del model.opset_import[:]
    for domain, version in versions.items():
        model.opset_import.add(domain=domain, version=version)
