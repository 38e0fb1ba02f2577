"""A pipeline's bytes, which other processes can load."""

from __future__ import annotations

import copy
import io
import pickle
import platform
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import cloudpickle
import pandas as pd

from skdeploy.errors import SaveError
from skdeploy.model.carried import Carried, attribute, origin_of
from skdeploy.model.packed import BYTECODE
from skdeploy.passport.document import ATTRIBUTE


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Stores what no other process could import by value or as source, and keeps pyarrow out of texts.

    carried    modules whose classes and functions are referred to in their sources
    by_value   the functions and classes that went into the pickle as bytecode
    modules    the modules that it refers to

    Where pyarrow is installed pandas keeps texts in it, names of columns as well, and without
    pyarrow they cannot be loaded.
    """

    def __init__(self, file: io.BytesIO, carried: Carried) -> None:
        super().__init__(file, protocol=pickle.DEFAULT_PROTOCOL)
        self._carried = carried
        self.by_value: dict[str, None] = {}
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        """How `obj` is pickled."""
        if isinstance(obj, pd.StringDtype) and obj.storage == "pyarrow":
            return pd.StringDtype, ("python", obj.na_value)
        if isinstance(obj, pd.arrays.ArrowStringArray):
            return obj.astype(pd.StringDtype("python", na_value=obj.dtype.na_value)).__reduce_ex__(2)
        if isinstance(obj, (type, FunctionType)):
            module = getattr(obj, "__module__", None)
            # A pipeline that was loaded is saved again with the sources that it came with.
            carried, name = origin_of(module) or (self._carried, str(module))
            if name in carried.sources and "<" not in obj.__qualname__:
                return attribute, (carried, name, obj.__qualname__)
            name = obj.__qualname__.rpartition("<locals>.")[2]
            # A method goes with its class.
            if (module == "__main__" or "<" in obj.__qualname__) and "." not in name:
                self.by_value[name] = None
            else:
                self.modules.add(str(module))
        return super().reducer_override(obj)


class Pickled:
    """The pickle of a pipeline, and what is particular about it.

    by_value     names of the functions and classes that it holds as bytecode
    of_project   modules that it refers to and that no package has installed
    """

    def __init__(self, pipeline: Any, sources: Mapping[str, str]) -> None:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, Carried(sources))
        try:
            pickler.dump(pipeline)
        except Exception as error:  # pickling calls the objects' own code
            raise SaveError(
                f"The pipeline cannot be pickled: {error}. What holds it back, an open file or connection "
                "say, must be made when it is used, not kept in the pipeline."
            ) from error
        self.content = buffer.getvalue()
        self.by_value = list(pickler.by_value)
        self.of_project = sorted(filter(_is_of_project, pickler.modules))

    @property
    def versions(self) -> dict[str, str]:
        """What the versions behind the pickle say beside those of libraries."""
        return {BYTECODE: ".".join(platform.python_version_tuple()[:2])} if self.by_value else {}

    @property
    def notes(self) -> list[str]:
        """What the user should know of it."""
        notes = [
            f"The service needs the module {name}, or save puts it into the file: "
            f"code=[{sys.modules[name].__file__!r}]."
            for name in self.of_project
        ]
        if not self.by_value:
            return notes
        names = ", ".join(self.by_value)
        return [
            *notes,
            f"Stored by value, with the variables that they use: {names}. It is bytecode of Python "
            f"{self.versions[BYTECODE]}, which no other one loads. Preferably move it to a module, import it "
            'from there, fit again, and save with code=["that_module.py"].',
        ]


def _is_of_project(name: str) -> bool:
    """Whether a module lies in a folder of the user's, not among installed packages or Python's own."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or name == "__main__" or name.startswith("skdeploy."):
        return False
    installed = (sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    return not any(Path(file).is_relative_to(folder) for folder in installed)


def sources_of(files: Iterable[str | Path]) -> dict[str, str]:
    """The sources of modules by the names under which they are imported here. Raises SaveError.

    files   modules, or folders of packages
    """
    imported = {
        Path(file).resolve(): name
        for name, module in list(sys.modules.items())
        # multiprocessing calls the script so.
        if name != "__mp_main__" and (file := getattr(module, "__file__", None))
    }
    found: dict[str, str] = {}
    for file in map(Path, [files] if isinstance(files, (str, Path)) else files):
        if file.is_dir():
            found |= sources_of(sorted(file.rglob("*.py")))
            continue
        name = imported.get(file.resolve(), file.stem)
        if name == "__main__":
            raise SaveError(
                f"code names {file}, the script that runs: move what the pipeline uses to a module."
            )
        try:
            found[name.removesuffix(".__init__")] = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SaveError(f"code names {file}, which is no file of Python source: {error}.") from None
    return found


def without_passport(pipeline: Any) -> Any:
    """A copy of the pipeline, which shares its parts, without the passport that it may have."""
    bare = copy.copy(pipeline)
    getattr(bare, "__dict__", {}).pop(ATTRIBUTE, None)
    return bare
