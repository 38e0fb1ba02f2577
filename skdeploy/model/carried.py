"""Modules of the user's project that travel in a model's file as source, `save(..., code=["features.py"])`.

The pickle holds the sources, and refers to what is in them by module and name. When it is loaded the modules
are made under a name of their own, so that they take the place of no installed module:
`skdeploy_carried_<digest>.features`. Only they see each other under the names that they import:
`import helpers` in one of them gives the carried `helpers`, if there is one.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import linecache
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from types import ModuleType
from typing import Any


class Carried:
    """The sources of modules, by their names in the project; made again, and memoized, by unpickling."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = dict(sources)
        text = "\0".join(f"{name}\0{self.sources[name]}" for name in sorted(self.sources))
        self._prefix = f"skdeploy_carried_{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Carried, (self.sources,)

    def module(self, name: str) -> ModuleType:
        """The module that is called `name` in the project; it runs when it is first asked for."""
        full = f"{self._prefix}.{name}"
        if full in sys.modules:
            return sys.modules[full]
        sys.modules.setdefault(self._prefix, ModuleType(self._prefix))
        parent = name.rpartition(".")[0]
        if parent:
            self.module(parent)
        spec = importlib.util.spec_from_loader(full, None, is_package=self._is_package(name))
        assert spec is not None  # noqa: S101 - it is made of a name alone
        spec.loader_state = self, name
        made = importlib.util.module_from_spec(spec)
        file, source = f"<{name.replace('.', '/')}.py in the model's file>", self.sources.get(name, "")
        # Tracebacks show its lines.
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        vars(made)["__builtins__"] = vars(builtins) | {"__import__": self._import}
        sys.modules[full] = made
        try:
            exec(compile(source, file, "exec"), vars(made))  # noqa: S102 - the pickle runs code as well
        except BaseException:
            del sys.modules[full]
            raise
        if parent:
            setattr(self.module(parent), name.rpartition(".")[2], made)
        return made

    def _is_package(self, name: str) -> bool:
        return any(other.startswith(f"{name}.") for other in self.sources)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the names of __import__
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        """What `import` in a carried module gives: a carried one, or else what it gives everywhere."""
        full = name
        if level:
            package = str((globals or {}).get("__package__")).removeprefix(self._prefix).lstrip(".")
            base = package.rsplit(".", level - 1)[0] if level > 1 else package
            full = ".".join(part for part in (base, name) if part)
        if full and full not in self.sources and not self._is_package(full):
            if level:
                raise ImportError(
                    f"{full} is not in the model's file: name its file as well, code=[...]", name=full
                )
            return builtins.__import__(name, globals, locals, fromlist, level)
        if not fromlist and not level:
            self.module(full)
            return self.module(full.partition(".")[0])
        found = self.module(full) if full else sys.modules[self._prefix]
        for item in fromlist:
            inner = f"{full}.{item}" if full else item
            if inner in self.sources:
                setattr(found, item, self.module(inner))
        return found


def origin_of(module: str | None) -> tuple[Carried, str] | None:
    """Of a carried module, which has been made: where it is from, and its name in the project; else None."""
    state = getattr(getattr(sys.modules.get(module or ""), "__spec__", None), "loader_state", None)
    return state if isinstance(state, tuple) and isinstance(state[0], Carried) else None


def attribute(carried: Carried, module: str, qualname: str) -> Any:
    """The class or function of a carried module."""
    return reduce(getattr, qualname.split("."), carried.module(module))
