"""Native thread pools and joblib's: where requests are served, the calling thread is the only one."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import joblib
from threadpoolctl import ThreadpoolController  # it comes with scikit-learn

from skdeploy.engines import Engine
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.model import Model
from skdeploy.schema import Table


def on_one_thread(model: Model) -> Model:
    """The model with an engine that uses one thread, whichever thread calls it, and no other process.

    Several workers or threads that each start a pool as large as the machine wait for each other:
    trees that predict in 9 ms take 30. `web-service/gunicorn.conf.py` has the variables that
    limit the pools; this is for who serves the application without it. An estimator with `n_jobs` would
    start joblib's processes or threads in each worker, and a call would wait for them. Other callers of a
    model keep their pools, which are of use for a large table.
    """
    engine = model.engine
    # A lone record takes the compiled engine a few microseconds, and limiting joblib takes two.
    engine = engine.asking(_Sequential) if isinstance(engine, OnnxEngine) else _Sequential(engine)
    return replace(model, engine=_OneThreadEngine(engine))


class _Sequential(Engine):
    """An engine whose estimators do one thing after the other, whatever their `n_jobs`."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine

    def predict(self, table: Table) -> Any:
        with joblib.parallel_config(backend="sequential"):
            return self._engine.predict(table)

    def predict_proba(self, table: Table) -> Any:
        with joblib.parallel_config(backend="sequential"):
            return self._engine.predict_proba(table)


class _OneThreadEngine(Engine):
    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        # Made once, as looking for the libraries takes milliseconds. The model has loaded them all.
        self._pools = ThreadpoolController()
        self._limited = threading.local()

    def predict(self, table: Table) -> Any:
        self._limit()
        return self._engine.predict(table)

    def predict_proba(self, table: Table) -> Any:
        self._limit()
        return self._engine.predict_proba(table)

    def predict_both(self, table: Table) -> tuple[Any, Any]:
        self._limit()
        return self._engine.predict_both(table)

    def _limit(self) -> None:
        """OpenMP keeps its limit per calling thread, so that none for the whole process would do."""
        if not hasattr(self._limited, "done"):
            self._pools.limit(limits=1)
            self._limited.done = True
