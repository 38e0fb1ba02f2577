"""A compiled pipeline: what `skdeploy.engines.compiling` makes and `OnnxEngine` runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphInput:
    """One tensor (n, columns) of the graph: the schema's columns at these places, side by side."""

    name: str
    columns: list[int]
    text: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """A serialized ONNX model and its inputs, in the model's order.

    largest   the largest number that the graph takes as scikit-learn does; None for any
    """

    content: bytes
    inputs: list[GraphInput]
    largest: float | None = None
