"""A pipeline's bytes that other processes can load, or a refusal."""

from __future__ import annotations

import copy
import io
import pickle
from types import FunctionType
from typing import Any

import pandas as pd

from skdeploy.errors import SaveError
from skdeploy.passport.document import ATTRIBUTE


class _Pickler(pickle.Pickler):
    """Notes the classes and functions of the script or notebook itself; keeps pyarrow out of texts.

    Where pyarrow is installed pandas keeps texts in it, names of columns as well, and without
    pyarrow they cannot be loaded.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.of_main: list[str] = []

    def persistent_id(self, obj: Any) -> None:
        """Called with every object before it is pickled; it pickles them all itself."""
        if isinstance(obj, (type, FunctionType)) and obj.__module__ == "__main__":
            self.of_main.append(obj.__qualname__)

    def reducer_override(self, obj: Any) -> Any:
        """How `obj` is pickled: texts as pandas keeps them without pyarrow, all else as usual."""
        if isinstance(obj, pd.StringDtype) and obj.storage == "pyarrow":
            return pd.StringDtype, ("python", obj.na_value)
        if isinstance(obj, pd.arrays.ArrowStringArray):
            return obj.astype(pd.StringDtype("python", na_value=obj.dtype.na_value)).__reduce_ex__(2)
        return NotImplemented


def pickle_bare(pipeline: Any) -> bytes:
    """The pipeline's bytes without passport.

    Raises SaveError if it cannot be pickled, or could not be unpickled elsewhere.
    """
    bare = copy.copy(pipeline)
    getattr(bare, "__dict__", {}).pop(ATTRIBUTE, None)
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    try:
        pickler.dump(bare)
    except Exception as error:  # pickling calls the objects' own code
        raise SaveError(
            f"The pipeline cannot be pickled: {error}. A lambda or a function inside a function must "
            "become a function of a module."
        ) from error
    if pickler.of_main:
        raise SaveError(
            f"The pipeline uses {', '.join(pickler.of_main)} of the script or notebook itself (__main__), "
            "which no other process can load: move it to a module, import it from there, and fit again."
        )
    return buffer.getvalue()
