"""Packages that load what they export when it is first used, so that no program loads the rest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Callable

from ._fork import fork_waits

_imported: dict[str, ModuleType] = {}
"""The modules whose import has ended."""


def lazy_getattr(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package, which exports what these modules of it have.

    A name that is its module's stands for the module. What is returned is no attribute of the
    package: tests may have the interpreter forget what was imported during them, and a class that
    was kept here would not be the one that is imported next. Forks wait for the import, in
    whichever order threads ask for names; so nothing else of the library is imported late without
    them.
    """
    paths = {name: f"{package}.{module}" for name, module in modules.items()}
    own_names = {name for name, module in modules.items() if name == module}

    def load(name: str) -> object:
        path = paths.get(name)
        if path is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = _imported.get(path)
        if module is None or sys.modules.get(path) is not module:
            with fork_waits():
                module = _imported[path] = import_module(path)
        return module if name in own_names else getattr(module, name)

    return load
