"""Tree ensembles as ONNX's TreeEnsemble (ai.onnx.ml version 5) in double precision.

skl2onnx writes an older operator whose splits are single precision: a value beside a split can
fall on the other side, and the prediction jumps a whole leaf. This one keeps splits and leaves as
scikit-learn has them.

Source: the specification of ai.onnx.ml.TreeEnsemble version 5; scikit-learn's `tree/_tree.pyx`,
`ensemble/_hist_gradient_boosting/predictor.py` and `_predictor.pyx` for what a node means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import numpy_helper

_BRANCH_LEQ = 0
_AGGREGATE_SUM = 1


@dataclass(frozen=True, slots=True)
class Codes:
    """A split by category: whole numbers that go left or right. All others go the other way."""

    codes: tuple[int, ...]
    go_left: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """One fitted tree; arrays by node.

    left, right    children; meaningless in a leaf
    feature, threshold   a record goes left if record[feature] <= threshold
    missing_left   where a NaN goes
    leaf           whether the node is a leaf
    values         (nodes, targets): what a leaf adds
    categories     node -> how it splits by category, which no threshold says
    """

    left: Any
    right: Any
    feature: Any
    threshold: Any
    missing_left: Any
    leaf: Any
    values: Any
    categories: dict[int, Codes] = field(default_factory=dict)


def of_sklearn(tree: Any, values: Any) -> Tree:
    """From a `sklearn.tree._tree.Tree`, whose inputs are single precision; values (nodes, targets)."""
    return Tree(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        tree.missing_go_to_left,
        tree.children_left == tree.children_right,
        values,
    )


def of_histogram(predictor: Any) -> Tree:
    """From HistGradientBoosting's `TreePredictor`; its encoder gives it known categories and NaN alone."""
    nodes = predictor.nodes
    sets = predictor.raw_left_cat_bitsets
    return Tree(
        nodes["left"],
        nodes["right"],
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"],
        nodes["is_leaf"].astype(bool),
        nodes["value"][:, None],
        {
            int(node): Codes(members(sets[nodes["bitset_idx"][node]]), go_left=True)
            for node in np.flatnonzero(nodes["is_categorical"] & ~nodes["is_leaf"])
        },
    )


def members(words: Any) -> tuple[int, ...]:
    """The numbers whose bits are set in a bitset of 32-bit words."""
    bits = np.unpackbits(np.asarray(words, dtype="<u4").view(np.uint8), bitorder="little")
    return tuple(np.flatnonzero(bits).tolist())


def lone_leaf(value: float) -> Tree:
    """A tree without a split."""
    none = np.zeros(1, dtype=int)
    return Tree(none, none, none, np.zeros(1), none, np.ones(1, dtype=bool), np.array([[value]]))


@dataclass(slots=True)
class _Arrays:
    splits: list[float] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    missing_left: list[int] = field(default_factory=list)
    true_nodes: list[int] = field(default_factory=list)
    true_leafs: list[int] = field(default_factory=list)
    false_nodes: list[int] = field(default_factory=list)
    false_leafs: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, tree: Tree, column: int, target: int) -> None:
        """Append a tree whose leaves add `values[:, column]` to `target`."""
        inner, first_leaf = np.flatnonzero(~tree.leaf), len(self.weights)
        leaves = np.flatnonzero(tree.leaf)
        self.targets += [target] * len(leaves)
        self.weights += tree.values[leaves, column].astype(float).tolist()
        self.roots.append(len(self.splits))
        if not len(inner):
            self._add_lone_leaf(first_leaf)
            return
        # A node's place among the inner nodes, or a leaf's among the leaves.
        place = np.zeros(len(tree.leaf), dtype=int)
        place[inner] = np.arange(len(inner)) + len(self.splits)
        place[leaves] = np.arange(len(leaves)) + first_leaf
        left, right = tree.left[inner].astype(int), tree.right[inner].astype(int)
        self.splits += tree.threshold[inner].astype(float).tolist()
        self.features += tree.feature[inner].astype(int).tolist()
        self.missing_left += tree.missing_left[inner].astype(int).tolist()
        self.true_nodes += place[left].tolist()
        self.true_leafs += tree.leaf[left].astype(int).tolist()
        self.false_nodes += place[right].tolist()
        self.false_leafs += tree.leaf[right].astype(int).tolist()

    def _add_lone_leaf(self, leaf: int) -> None:
        """The operator has no tree without a split: one whose branches both end in the leaf."""
        self.splits.append(0.0)
        self.features.append(0)
        self.missing_left.append(1)
        self.true_nodes.append(leaf)
        self.true_leafs.append(1)
        self.false_nodes.append(leaf)
        self.false_leafs.append(1)


def ensemble_attributes(trees: list[tuple[Tree, int, int]], targets: int, dtype: Any) -> dict[str, Any]:
    """The operator's attributes for trees, (tree, column of its values, target), summed in `dtype`."""
    arrays = _Arrays()
    for tree, column, target in trees:
        arrays.add(tree, column, target)
    return {
        "n_targets": targets,
        "aggregate_function": _AGGREGATE_SUM,
        "post_transform": 0,
        "tree_roots": arrays.roots,
        "nodes_splits": numpy_helper.from_array(np.array(arrays.splits, dtype=dtype)),
        "nodes_modes": numpy_helper.from_array(np.full(len(arrays.splits), _BRANCH_LEQ, dtype=np.uint8)),
        "nodes_featureids": arrays.features,
        "nodes_missing_value_tracks_true": arrays.missing_left,
        "nodes_truenodeids": arrays.true_nodes,
        "nodes_trueleafs": arrays.true_leafs,
        "nodes_falsenodeids": arrays.false_nodes,
        "nodes_falseleafs": arrays.false_leafs,
        "leaf_targetids": arrays.targets,
        "leaf_weights": numpy_helper.from_array(np.array(arrays.weights, dtype=dtype)),
    }
