"""The model: a fitted pipeline with its passport and its engine.

model.py     Model, Predictions: records in, predictions out
loading.py   bytes -> unpickled, with a passport, proved; unpickling.py reads pickles and skops files
proof.py     what "equal" means, and the start-up proof
probe.py     trying a pipeline with nulls and unseen categories
choice.py    which engine serves; edges.py makes the records that two engines are compared on
batching.py  concurrent calls gathered, where that is proved harmless
golden.py    golden records made up from the schema
outputs.py   what a pipeline returns -> plain values
"""

from skdeploy.model.batching import batched
from skdeploy.model.loading import load_model
from skdeploy.model.model import Model, Origin, Predictions

__all__ = ["Model", "Origin", "Predictions", "batched", "load_model"]
