"""The model: a fitted pipeline with its passport and its engine.

model.py     Model: passport, engine, where it came from
loading.py   bytes -> unpickled, with a passport, proved; unpickling.py reads pickles and skops files
proof.py     what "equal" means, and the start-up proof
probe.py     trying a pipeline with nulls and unseen categories
choice.py    which engine serves; edges.py makes the records that two engines are compared on
isolated.py  work that predicts, in a forked child; one_thread.py keeps calls to one thread
measuring.py what calls cost, and whether records may share one
golden.py    golden records made up from the schema
outputs.py   what a pipeline returns -> plain values
exported.py  a model without scikit-learn: what is in its folder, and loading it; exporting.py writes it

What an exported model needs imports neither pandas, scikit-learn, scipy nor joblib: `load_model`, which
unpickles, is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skdeploy.model.measuring import measured
from skdeploy.model.model import Model, Origin
from skdeploy.model.one_thread import OneThread

if TYPE_CHECKING:
    from skdeploy.model.loading import load_model

__all__ = ["Model", "OneThread", "Origin", "load_model", "measured"]


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from skdeploy.model.loading import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
