"""Native thread pools, kept to one thread each where requests are served."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from threadpoolctl import ThreadpoolController  # it comes with scikit-learn

from skdeploy.engines import Engine
from skdeploy.model import Model
from skdeploy.schema import Table


def on_one_thread(model: Model) -> Model:
    """The model with an engine that uses one native thread, whichever thread calls it.

    Several workers or threads that each start a pool as large as the machine wait for each other:
    trees that predict in 9 ms take 30. `web-service/gunicorn.conf.py` has the variables that
    limit the pools; this is for who serves the application without it. Other callers of a model
    keep their pools, which are of use for a large table.
    """
    return replace(model, engine=_OneThreadEngine(model.engine))


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
