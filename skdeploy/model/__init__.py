"""The model: a fitted pipeline with its passport and its engine.

model.py     Model: passport, engine, where it came from
loading.py   bytes -> a proved model; exported.py reads an exported model's file, pickled.py a pickle or skops
exporting.py a pickle -> an exported model's file
unpickling.py   bytes -> the fitted pipeline in them; assembling.py makes one of a tuple of fitted parts
carried.py   modules that travel in a pickle as source
packed.py    a pickle's compression, and the versions behind it
proof.py     what "equal" means, and the start-up proof
probe.py     trying a pipeline with nulls and unseen categories
choice.py    which engine serves; boundaries.py makes the records that two engines are compared on
isolated.py  work that predicts, in a forked child; one_thread.py keeps calls to one thread
measuring.py what calls cost, and whether records may share one
golden.py    golden records made up from the schema
outputs.py   what a pipeline returns -> plain values

What an exported model needs imports neither pandas, scikit-learn, scipy nor joblib.
"""

from __future__ import annotations

from skdeploy.model.loading import load_model, read_versions
from skdeploy.model.measuring import measured
from skdeploy.model.model import Model, Origin
from skdeploy.model.one_thread import OneThread

__all__ = ["Model", "OneThread", "Origin", "load_model", "measured", "read_versions"]
