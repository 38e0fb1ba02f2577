"""The passport: what a model says of itself, and how that is found out.

document.py    Passport, Output, Golden: the plain values that travel inside model.bin
observe.py     training data -> columns, with dtypes.py: what a dtype says of one
training.py    training inputs, in whatever form -> one frame, plain cells
derive.py      a fitted pipeline alone -> columns
walk.py        which encoder of a fitted pipeline sees which input column
libraries.py   the versions that a model was made with
"""

from skdeploy.passport.document import Golden, Output, Passport

__all__ = ["Golden", "Output", "Passport"]
