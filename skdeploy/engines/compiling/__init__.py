"""A fitted pipeline -> tables, and an ONNX graph in double precision by skl2onnx and converters of our own.

    front.py     the first steps of the pipeline, and what is left for the graph
    cells.py     columns on their way through these steps, and calls of the steps
    tables.py    encoders and vectorizers as tables
    following.py  imputers, and encoders that pass columns on, followed column by column
    graph.py     the conversion of the rest, and what is mended after it
    decisions.py the numbers that a graph compares columns with, for its proof
    trees.py     tree ensembles as ONNX's TreeEnsemble operator, exact to the last bit of a split
    converters/  models and transformers, what skl2onnx writes in single precision or not at all

Nothing here decides whether the graph may serve: it must be proved equal first
(`skdeploy.model.choice`).
"""

from skdeploy.engines.compiling.decisions import Decisions, decisions
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.graph import compile_graph

__all__ = ["Decisions", "NotCompilable", "compile_graph", "decisions"]
