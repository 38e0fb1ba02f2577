"""How records become predictions.

sklearn.py   the reference, the pipeline itself; inputs.py makes what it takes
onnx.py      the compiled one, which makes a tensor of records; graph.py says what of, features.py
             writes that down, and compiling/ makes it all from a pipeline
"""

from __future__ import annotations

from typing import Any, Protocol

from skdeploy.schema import Table


class NoAnswer(Exception):
    """The engine has no answer for a record of the table; `str(error)` says why, without its values."""


class Engine(Protocol):
    """Scores checked records. Answers must not depend on a record's neighbours."""

    name: str

    def predict(self, table: Table) -> Any:
        """The pipeline's `predict`: an array (n,) or (n, outputs)."""

    def predict_proba(self, table: Table) -> Any:
        """The pipeline's `predict_proba`: an array (n, classes), or a list of them per output."""

    def predict_both(self, table: Table) -> tuple[Any, Any]:
        """Both of these, which may cost less than one after the other."""
        return self.predict(table), self.predict_proba(table)
