"""MLflow's variables, set for the length of a call; and the names of what we keep there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

# Tags of a model version: the digests of its file, and of the exported model beside it, which has this name.
DIGEST_TAG, EXPORTED_TAG = "skdeploy.sha256", "skdeploy.exported_sha256"
EXPORTED_FILE = "model.skdeploy"

# The environment is the process's; a thread may set more within its own call.
_environment = threading.RLock()


@contextlib.contextmanager
def unless_set(wanted: Mapping[str, object]) -> Iterator[None]:
    """MLflow asks the environment at every request, how long to wait among other things.

    What the operator has set stays; the rest is as it was after the block.
    """
    from mlflow import environment_variables

    with _environment:
        variables = {getattr(environment_variables, name): value for name, value in wanted.items()}
        unset = [variable for variable in variables if not variable.is_set()]
        for variable in unset:
            variable.set(variables[variable])
        try:
            yield
        finally:
            for variable in unset:
                variable.unset()
