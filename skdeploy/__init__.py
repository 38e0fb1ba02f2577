"""skdeploy: one fitted scikit-learn pipeline, one prediction, every way to reach it.

    skdeploy.save(pipeline, X, y, "model.bin")     a fitted pipeline -> a file that proves itself
    skdeploy.load("model.bin")                     the file -> a proved Model
    skdeploy.log_model("model.bin")                the file -> MLflow's registry

The names are imported when they are first used: `import skdeploy` loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skdeploy.version import __version__

if TYPE_CHECKING:
    from skdeploy.saving import log_model, save
    from skdeploy.source import load

__all__ = ["__version__", "load", "log_model", "save"]


def __getattr__(name: str) -> Any:
    try:
        if name == "save":
            from skdeploy.saving import save

            return save
        if name == "log_model":
            from skdeploy.saving import log_model

            return log_model
        if name == "load":
            from skdeploy.source import load

            return load
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skdeploy"):
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed: run pip install 'skdeploy[serve]'", name=error.name
        ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
