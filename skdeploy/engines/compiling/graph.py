"""The conversion of a whole pipeline, and what is mended in the graph after it."""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from contextlib import suppress
from typing import Any

from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.graph import MOST_FEATURES, UNDECIDED_OUTPUT, Graph
from skdeploy.engines.inputs import InputBuilder
from skdeploy.schema import Column, Schema, Table
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
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    from skdeploy.engines.compiling.front import split

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rest, features = split(_dense(pipeline, schema), schema)
            model = _convert(rest, sum(feature.width for feature in features))
    except NotCompilable:
        raise
    except (MissingConverter, MissingShapeCalculator) as error:
        unknown = re.search(r"<class '(?:\w+\.)*(\w+)'>", str(error))
        raise NotCompilable(f"{unknown[1] if unknown else 'a step'} has no compiled form") from error
    except Exception as error:  # converters raise anything on what they do not know
        reason = str(error).strip().splitlines()
        raise NotCompilable(f"{type(error).__name__}: {reason[0] if reason else ''}") from error
    _mend(model)
    undecided = _put_out_undecided(model.graph)
    single = any(node.op_type == "Cast" and _casts_to_single(node) for node in model.graph.node)
    largest = LARGEST["float32"] if single and not _takes_any_number(pipeline, schema) else None
    return Graph(
        model.SerializeToString(),
        features,
        largest,
        _split_most(model.graph),
        undecided=undecided,
        widest=_widest(model.graph),
    )


def _casts_to_single(node: Any) -> bool:
    """Whether a number beyond a single's range becomes infinite here."""
    return any(attribute.name == "to" and attribute.i == _FLOAT for attribute in node.attribute)


def _put_out_undecided(graph: Any) -> bool:
    """Make the records that converters left to scikit-learn an output, (n, 1), if there are any."""
    from onnx import TensorProto, helper

    from skdeploy.engines.compiling.converters import UNDECIDED

    left = [name for node in graph.node for name in node.output if name.startswith(UNDECIDED)]
    if not left:
        return False
    total = left[0]
    for place, name in enumerate(left[1:]):
        graph.node.append(helper.make_node("Or", [total, name], [f"any_{UNDECIDED}_{place}"]))
        total = f"any_{UNDECIDED}_{place}"
    graph.node.append(helper.make_node("Identity", [total], [UNDECIDED_OUTPUT]))
    graph.output.append(helper.make_tensor_value_info(UNDECIDED_OUTPUT, TensorProto.BOOL, [None, 1]))
    return True


def _dense(pipeline: Any, schema: Schema) -> Any:
    """The pipeline as it answers where no step makes a sparse matrix, which XGBoost alone takes otherwise."""
    from skdeploy.engines.compiling.sparse import with_zeros_missing

    if "xgboost" not in sys.modules:
        return pipeline
    for record in (_example(schema, 0.0), _example(schema)):  # a step may refuse zeros, and then stores none
        with suppress(Exception):
            return with_zeros_missing(pipeline, record)
    return pipeline  # the proof says whether it matters


def _takes_any_number(pipeline: Any, schema: Schema) -> bool:
    """Whether the pipeline predicts with numbers beyond a single's range; scikit-learn raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline.predict(_example(schema, 10 * LARGEST["float32"]))
    except Exception:  # the pipeline may raise anything, and a column may have no example
        return False
    return True


def _example(schema: Schema, number: float | None = None) -> Any:
    """A record like those of training as the pipeline takes it, with this number wherever it can be."""
    cells = [[_cell(column, number)] for column in schema.columns]
    return InputBuilder(schema).build(Table(cells, 1))


def _cell(column: Column, number: float | None) -> Any:
    low, high = column.bounds
    is_measured = column.type in ("int", "float") and not column.categories
    if number is not None and is_measured and low <= number <= high:
        return number
    return None if column.example is None else column.kind.converter()(column.example)


def _widest(graph: Any) -> int:
    """The most numbers of a record that trees read, columns of splits by category among them."""
    return max(
        (
            max(attribute.ints, default=0) + 1
            for node in graph.node
            for attribute in node.attribute
            if attribute.name == "nodes_featureids"
        ),
        default=0,
    )


def _split_most(graph: Any) -> int | None:
    """The column of the input that trees split on most; None if no tree reads the input as it is."""
    as_it_is = {graph.input[0].name}
    splits: Counter[int] = Counter()
    for node in graph.node:
        if node.input[0] not in as_it_is:
            continue
        if node.op_type in ("Cast", "Identity"):
            as_it_is.update(node.output)
        elif node.op_type == "TreeEnsemble":
            for attribute in node.attribute:
                if attribute.name == "nodes_featureids":
                    splits.update(attribute.ints)
    return max(splits, key=lambda column: splits[column], default=None)


def _convert(pipeline: Any, width: int) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType
    from sklearn.base import is_classifier

    from skdeploy.engines.compiling.converters import CONVERTERS, PARSERS, SHAPES, register_imported

    register_imported()
    if not width:
        raise NotCompilable("it takes no column")
    if width > MOST_FEATURES:
        raise NotCompilable(f"{width:,} numbers per record")
    final = pipeline
    while hasattr(final, "steps"):
        final = final.steps[-1][1]
    # skl2onnx's own parsers would write a dict of probabilities.
    theirs = is_classifier(pipeline) and hasattr(pipeline, "predict_proba") and type(final) not in PARSERS
    return convert_sklearn(
        pipeline,
        "pipeline",  # else it is named at random, and no two graphs are the same
        initial_types=[("record", DoubleTensorType([None, width]))],
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
