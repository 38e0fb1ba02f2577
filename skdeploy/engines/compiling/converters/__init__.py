"""Converters of our own, in double precision: one function for each family of models.

    writer.py       what they write with, and the tables that nested models are looked up in
    linear.py  svm.py  neighbors.py  bayes.py  neural.py  forests.py    estimators
    boosters.py     XGBoost, LightGBM, CatBoost
    ensembles.py    voting, stacking, bagging, AdaBoost
    wrappers.py     pipelines within models, searches, transformed targets, calibration
    scaling.py  features.py  functions.py  imputer.py   transformers of numbers
    adapting.py     how skl2onnx calls them

skl2onnx's own converters are in single precision, or know less.
"""

from skdeploy.engines.compiling.converters.adapting import CONVERTERS, PARSERS, SHAPES, register_imported
from skdeploy.engines.compiling.converters.writer import TREE_DOMAIN, UNDECIDED

__all__ = ["CONVERTERS", "PARSERS", "SHAPES", "TREE_DOMAIN", "UNDECIDED", "register_imported"]
